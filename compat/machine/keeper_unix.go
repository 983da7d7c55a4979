//go:build unix

package machine

import (
	"io"
	"os/exec"
	"syscall"
)

// keeperScript waits for the end of its standard input. That is a pipe to which
// nobody writes, and only this program has its other end. So the input ends when this
// program ends, however that happens. Then the script removes the directories and
// kills its process group, which includes the script itself.
//
// The script's arguments are the names of the directories. It inherits each of them
// open, as descriptors 3 and up, and empties what these refer to: a name may refer to
// something else by then, if another user owns the parent directory. By name it only
// removes a directory that is empty. On a system without /proc it has to use the
// names for both.
const keeperScript = `trap '' HUP INT TERM
while read -r _; do :; done
n=3
for dir do
	(if cd "/proc/self/fd/$n" || cd -- "$dir"; then rm -rf -- ./* ./.[!.]* ./..?*; fi)
	rmdir -- "$dir"
	n=$((n + 1))
done
kill -s KILL 0`

// A keeper is a process that outlives this program by a moment and cleans up after
// it. It leads the process group of the machine. As long as this program has not
// waited for the keeper, the system does not give the group's id to another group.
// So it is safe to signal the group even when all its other processes have ended.
type keeper struct {
	cmd    *exec.Cmd
	handle *handle // nil where the system has none
	pipe   io.Closer
}

// startKeeper starts a keeper for directories. It returns nil if that fails, for
// lack of a shell, say. Then only the kernel cleans up if this program ends
// suddenly, and only on Linux (see dieWithParent).
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
	closeInherited(cmd)
	cmd.Dir = "/" // so that it does not keep a file system busy
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

// group returns the id of the process group, or 0 if k is nil.
func (k *keeper) group() int {
	if k == nil {
		return 0
	}
	return k.cmd.Process.Pid
}

// signal sends sig to the whole group, which includes the keeper. The error is
// errCollected if the keeper has ended and another part of this program has
// collected it.
func (k *keeper) signal(sig syscall.Signal) error {
	return signalGroup(k.handle, k.group(), false, sig)
}

// stop kills all that is left in the group, and the keeper itself.
func (k *keeper) stop() {
	if k == nil {
		return
	}
	_ = k.signal(syscall.SIGKILL)
	_ = k.pipe.Close()
	_ = k.cmd.Wait() // "signal: killed", or somebody else has collected it
	k.handle.close()
}
