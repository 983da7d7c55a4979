//go:build unix

package main

import "syscall"

func execute(program string, args, env []string) error { return syscall.Exec(program, args, env) }
