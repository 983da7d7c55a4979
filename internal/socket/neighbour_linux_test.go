package socket

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// Helpers of the tests with other users and programs. This test binary starts
// itself as the other program.

// nobody is the other user's id.
const nobody = 65534

// A rival is a process that runs this test binary as another user, or as another
// program of the same user. It writes a line when it is ready, and exits at the
// end of its input.
type rival struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

// startRival starts a process as the user uid, which plays a part.
func startRival(t *testing.T, uid uint32, part string, args ...string) *rival {
	t.Helper()
	if uid != uint32(os.Getuid()) && os.Getuid() != 0 {
		qemutest.Lacks(t, "only root can start a process of another user")
	}
	cmd := exec.Command(sharedBinary(t), append([]string{"play", part}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uid, Gid: uid, NoSetGroups: os.Getuid() != 0},
		Pdeathsig:  syscall.SIGKILL,
	}
	if uid == uint32(os.Getuid()) {
		cmd.SysProcAttr.Credential = nil
	}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	r := &rival{cmd: cmd, stdin: stdin, out: bufio.NewReader(stdout)}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	r.line(t) // it is ready
	return r
}

func (r *rival) line(t *testing.T) string {
	t.Helper()
	line, err := r.out.ReadString('\n')
	must(t, err)
	return strings.TrimSpace(line)
}

// stop stops the rival and returns the last line that it prints.
func (r *rival) stop(t *testing.T) string {
	t.Helper()
	r.stdin.Close()
	return r.line(t)
}

// openDir makes a folder that belongs to uid and has this mode.
func openDir(t *testing.T, uid int, mode os.FileMode) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "qmpsocket")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chown(dir, uid, uid))
	must(t, os.Chmod(dir, mode))
	return dir
}

// sharedBinary returns a copy of this test binary that other users can execute.
func sharedBinary(t *testing.T) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	path := filepath.Join(openDir(t, os.Getuid(), 0o755), "rival")
	withoutForks(func() { must(t, os.WriteFile(path, self, 0o755)) })
	return path
}

// withoutForks calls f while no process is started. A process that another test
// starts has all descriptors of this one between fork and exec. If f opens and
// closes one, the new process may still have it: then a socket still listens, or a
// program still is a file that is open for writing, which cannot be executed.
func withoutForks(f func()) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f()
}

// neighbour plays a part if args ask for that, and reports whether they do.
func neighbour(args []string) bool {
	if len(args) < 2 || args[0] != "play" {
		return false
	}
	begin, over := make(chan struct{}), make(chan struct{})
	go func() {
		in := bufio.NewReader(os.Stdin)
		_, _ = in.ReadString('\n')
		close(begin)
		_, _ = io.Copy(io.Discard, in)
		close(over)
	}()
	fmt.Println("ready")
	switch args[1] {
	case "trap":
		fmt.Println(playTrap(over, args[2]))
	case "exchange":
		fmt.Println(playExchange(over, args[2], args[3]))
	case "lock":
		f, err := os.Open(args[2])
		if err == nil {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		}
		fmt.Println("locked:", err)
		<-over
	case "connect":
		fmt.Println(connectTo(args[2]))
	case "listen":
		playListen(begin, over, args[2])
	case "meddle":
		fmt.Println(playMeddle(over, args[2]))
	}
	return true
}

// each calls do for each folder in dir in which a socket is made, until over is
// closed. It returns how often do returned true.
func each(over <-chan struct{}, dir string, do func(name string) bool) (times int) {
	seen := make(map[string]bool)
	for {
		select {
		case <-over:
			return times
		default:
		}
		f, err := os.Open(dir)
		if err != nil {
			return times
		}
		names, _ := f.Readdirnames(-1)
		f.Close()
		for _, name := range names {
			if strings.HasPrefix(name, ".q") && !seen[name] && do(name) {
				seen[name] = true
				times++
			}
		}
	}
}

// playTrap replaces each folder in which a socket is made by a folder in which the
// socket's name is a link to the file target.
func playTrap(over <-chan struct{}, dir string) int {
	n := 0
	trap := ""
	set := func() {
		n++
		trap = filepath.Join(dir, fmt.Sprintf("trap%d", n))
		_ = os.Mkdir(trap, 0o777)
		_ = os.Symlink("../target", filepath.Join(trap, made))
	}
	set()
	return each(over, dir, func(name string) bool {
		if unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, name), unix.AT_FDCWD, trap, unix.RENAME_EXCHANGE) != nil {
			return false
		}
		set()
		return true
	})
}

// playExchange exchanges each folder in which a socket is made for the folder
// with the given number.
func playExchange(over <-chan struct{}, dir, number string) int {
	return each(over, dir, func(name string) bool {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino) != number || e.Name() == name {
				continue
			}
			return unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, name), unix.AT_FDCWD, filepath.Join(dir, e.Name()), unix.RENAME_EXCHANGE) == nil
		}
		return false
	})
}

// playMeddle tries to rename, remove, connect to and enter every file that appears
// in dir. It returns how many attempts succeeded, and how many files there were.
func playMeddle(over <-chan struct{}, dir string) string {
	worked, things := 0, 0
	ok := func(err error) {
		if err == nil {
			worked++
		}
	}
	for {
		select {
		case <-over:
			return fmt.Sprintf("%d of %d", worked, things)
		default:
		}
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			things++
			ok(os.Rename(path, path+"x"))
			ok(os.Remove(path))
			ok(connectTo(path))
			if e.IsDir() {
				_, err := os.ReadDir(path)
				ok(err)
				ok(connectTo(filepath.Join(path, made)))
			}
		}
	}
}

// playListen waits for begin, listens at path, prints the result, and closes the
// listener when over is closed.
func playListen(begin, over <-chan struct{}, path string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	<-begin
	l, err := Listen(ctx, "unix", path)
	fmt.Println("listens:", err)
	<-over
	if err == nil {
		l.Close()
	}
}

// connectTo connects to the socket at path, and closes the connection.
func connectTo(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: path})
}
