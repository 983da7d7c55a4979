//go:build !unix

package machine

import "os/exec"

// closeInherited does nothing: a process inherits only what it is given.
func closeInherited(*exec.Cmd) {}
