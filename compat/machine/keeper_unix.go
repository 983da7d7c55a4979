//go:build unix

package machine

import (
	"io"
	"os/exec"
	"syscall"
)

// keeperScript waits for the end of its standard input. That is a pipe which
// nobody writes to and whose other end only this program has: it ends when this
// program does, in whatever way. Then the directories go, and the process group
// with all that is in it, the keeper included.
//
// The directories are its descriptors from 3, in the order of its arguments, and
// are emptied by those: somebody who owns the parent may have put something else
// in their place. By name only a directory that is empty goes. Where there is no
// /proc, the names are all there is.
const keeperScript = `trap '' HUP INT TERM
while read -r _; do :; done
n=3
for dir do
	(if cd "/proc/self/fd/$n" || cd -- "$dir"; then rm -rf -- ./* ./.[!.]* ./..?*; fi)
	rmdir -- "$dir"
	n=$((n + 1))
done
kill -s KILL 0`

// A keeper is a process that outlives this program by a moment and cleans up
// behind it. It leads the process group of the machine. As long as it has not
// been waited for, nobody else gets the number of that group, so that the group
// can be sent signals even when all others in it have gone.
type keeper struct {
	cmd    *exec.Cmd
	handle *handle // nil where the system has none
	pipe   io.Closer
}

// startKeeper starts a keeper for directories. It returns nil if it cannot,
// having no shell: that leaves the machine without protection against this
// program's sudden end, but for what the kernel offers.
func startKeeper(dirs ...*privateDir) *keeper {
	cmd := exec.Command("/bin/sh", "-c", keeperScript, "qmp-keeper")
	for _, d := range dirs {
		f := d.open()
		if f == nil {
			return nil
		}
		defer f.Close() // the keeper has its own
		cmd.Args, cmd.ExtraFiles = append(cmd.Args, d.path), append(cmd.ExtraFiles, f)
	}
	cmd.Dir = "/" // keeps no file system busy
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	takeHandle := withHandle(cmd.SysProcAttr, false)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil
	}
	if err := cmd.Start(); err != nil {
		return nil
	}
	return &keeper{cmd: cmd, handle: takeHandle(), pipe: pipe}
}

// group returns the number of the process group, or 0 if there is no keeper.
func (k *keeper) group() int {
	if k == nil {
		return 0
	}
	return k.cmd.Process.Pid
}

// signal sends sig to the whole group, the keeper included. The error may be
// errCollected: somebody has killed the keeper and somebody else has collected it.
func (k *keeper) signal(sig syscall.Signal) error {
	return signalGroup(k.handle, k.group(), false, sig)
}

// stop ends everything that is left in the group, and the keeper itself.
func (k *keeper) stop() {
	if k == nil {
		return
	}
	_ = k.signal(syscall.SIGKILL)
	_ = k.pipe.Close()
	_ = k.cmd.Wait() // "signal: killed", or somebody else has collected it
	k.handle.close()
}
