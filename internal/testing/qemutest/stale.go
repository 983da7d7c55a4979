package qemutest

import (
	"net"
	"runtime"
	"syscall"
	"testing"
)

// StaleSocket makes a unix socket at path at which nobody listens any more.
//
// Between fork and exec, a program that another test starts has all descriptors of
// this one. If it had this socket, somebody would still listen there. So no program
// is started meanwhile.
func StaleSocket(t testing.TB, path string) {
	t.Helper()
	if runtime.GOOS == "linux" { // elsewhere package net takes this lock itself
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Error(err)
		return
	}
	ln.SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
}
