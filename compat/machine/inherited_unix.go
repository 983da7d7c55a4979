//go:build unix

package machine

import (
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

// mostInherited limits how high a descriptor may be that closeInherited closes.
const mostInherited = 1 << 14

// closeInherited makes the process of cmd not inherit descriptors that this program has
// inherited itself, without knowing of them: a lock file of a shell, say. It inherits
// cmd.ExtraFiles only. This program's own descriptors do not change. (Descriptors that a
// Go program opens are not inherited in any case.)
func closeInherited(cmd *exec.Cmd) {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return // the system does not tell
	}
	last := 0
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd > mostInherited {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			last = max(last, fd)
		}
	}
	for firstFile+len(cmd.ExtraFiles) <= last {
		cmd.ExtraFiles = append(cmd.ExtraFiles, nil) // closed in the process: see os.ProcAttr
	}
}
