package machine

import "syscall"

// dieWithParent has the kernel kill the process if this program ends first.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
