// Tests that other users and other files cannot interfere with a listening
// socket, and that unexpected descriptors are closed.
// The code that they hold: listen.go, session.go and internal/socket.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"

	"golang.org/x/sys/unix"

	"github.com/goqmp/qmp/async"
)

// holding returns how many descriptors of the file at path this process has.
func holding(t testing.TB, path string) (n int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range list {
		// Readlink fails for the descriptor that ReadDir used: it is closed by now.
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && target == path {
			n++
		}
	}
	return n
}

// A server can send descriptors that this side did not ask for, with a
// greeting, a reply or an event, or in the middle of a message. None of them
// stays open here. (Not parallel: it counts what the whole process has open.)
// Holds secure.
func TestDescriptorsNobodyAskedForAreNotKept(t *testing.T) {
	const messages, each = 200, 3
	client, server := socketPair(t)
	unexpected := fileWith(t, "unexpected")
	raw, err := server.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fds := make([]int, each)
	wantNil(t, "Control", rawControl(unexpected, func(fd uintptr) {
		for i := range fds {
			fds[i] = int(fd)
		}
	}))
	say := func(text string) {
		t.Helper()
		var sendErr error
		err := raw.Write(func(fd uintptr) bool {
			sendErr = unix.Sendmsg(int(fd), []byte(text), unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
			return sendErr != unix.EAGAIN
		})
		if err = errors.Join(err, sendErr); err != nil {
			t.Fatal(err)
		}
	}

	files := openFiles()
	say(`{"QMP":{"version":{"qemu":{"major":9,"minor":0,"micro":0}},"capabilities":[]}}`)
	say(`{"return":{},"id":1}`)
	c := newClient(t, nil)
	wantNil(t, "Attach", c.Attach(t.Context(), client))
	l := c.NewListener(nil)
	for i := range messages {
		call := start(t.Context(), c, async.Command{Name: "x", ID: fmt.Sprint(i)})
		say(`{"event":`)
		say(`"E"}`)
		say(`{"retu`)
		// The reply must come after the command: a reply that comes earlier
		// belongs to no command.
		waitReadable(t, server, fmt.Sprintf(`"id":"%d"}`, i))
		say(fmt.Sprintf(`rn":%d,"id":"%d"}`, i, i))
		got := <-call
		wantValue(t, "x", got.value, got.err, fmt.Sprint(i))
	}
	if got := len(drained(t, l)); got != messages {
		t.Errorf("got %d events, want %d", got, messages)
	}
	if got := holding(t, unexpected.Name()); got != 1 {
		t.Errorf("the file is open %d times after %d messages with descriptors of it, want once, by this test", got, 3*messages)
	}
	if got := openFiles(); got > files {
		t.Errorf("%d files are open, were %d before", got, files)
	}
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	if got := openFiles(); got != files-1 {
		t.Errorf("%d files are open after Disconnect, were %d with the connection", got, files)
	}
}

func rawControl(f *os.File, use func(uintptr)) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(use)
}

// waitReadable reads from conn until what was read ends in end.
func waitReadable(t testing.TB, conn net.Conn, end string) {
	t.Helper()
	var got []byte
	buf := make([]byte, 4096)
	for !strings.HasSuffix(string(got), end) {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
}

// Another user cannot connect to the socket of a listening client, even if that
// user may enter the directory. (Not parallel: the umask is the whole
// process's.)
// Holds secure.
func TestListenRefusesOtherUsers(t *testing.T) {
	if os.Getuid() != 0 {
		qemutest.Lacks(t, "only root can be another user for a while")
	}
	defer syscall.Umask(syscall.Umask(0))
	path := socketPath(t)
	if err := os.Chmod(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(filepath.Dir(path), "open")
	ln, err := net.Listen("unix", open)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := newClient(t, nil)
	wantNil(t, "Listen", c.Listen(t.Context(), path))
	if err := connectAs(65534, open); err != nil {
		qemutest.Lacks(t, "the directory of a test cannot be entered by others: %v", err)
	}
	if err := connectAs(65534, path); !errors.Is(err, unix.EACCES) {
		t.Errorf("another user connects: got error %v, want %v", err, unix.EACCES)
	}
	wantNil(t, "the owner connects", connectAs(os.Getuid(), path))
}

// connectAs connects to the socket at path as the user uid, and hangs up.
func connectAs(uid int, path string) error {
	done := make(chan error)
	go func() {
		// The system call changes the user of this thread only. If the thread
		// cannot become root again, the goroutine stays locked to it, and the
		// thread ends with the goroutine.
		runtime.LockOSThread()
		become := func(uid int) error {
			const same = ^uintptr(0)
			if _, _, errno := syscall.RawSyscall(unix.SYS_SETRESUID, same, uintptr(uid), same); errno != 0 {
				return os.NewSyscallError("setresuid", errno)
			}
			return nil
		}
		err := become(uid)
		if err == nil {
			err = connectOnce(path)
			if become(0) == nil {
				runtime.UnlockOSThread()
			}
		}
		done <- err
	}()
	return <-done
}

// connectOnce connects in the calling thread.
func connectOnce(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: path})
}

// A file is made at the socket's path while Listen makes the socket. Listen
// does not replace it: either the file is there and Listen has failed, or the
// socket is there. (The kernel reports when the socket is being made:
// inotify(7).)
// Holds secure.
func TestListenDoesNotReplaceWhatComesMeanwhile(t *testing.T) {
	t.Parallel()
	const rounds, enough = 100, 10000
	came := 0
	for round := 0; round < rounds || came == 0; round++ {
		if round == enough {
			t.Fatalf("the file has never come in time")
		}
		path := socketPath(t)
		dir := filepath.Dir(path)
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			t.Fatal(err)
		}
		watch := os.NewFile(uintptr(fd), "inotify")
		if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE); err != nil {
			t.Fatal(err)
		}
		made := do(func() error {
			if _, err := watch.Read(make([]byte, 4096)); err != nil { // the directory in which the socket is made
				return err
			}
			made, err := filepath.Glob(filepath.Join(dir, ".q*"))
			for _, name := range made {
				if info, err := os.Lstat(name); err == nil && info.Mode() != fs.ModeDir|0o700 {
					t.Errorf("the socket is made in a folder of mode %v, want drwx------", info.Mode())
				}
			}
			if err != nil {
				return err
			}
			f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			_, err = f.WriteString("precious")
			return errors.Join(err, f.Close())
		})
		c := newClient(t, nil)
		listenErr := c.Listen(t.Context(), path)
		switch err := <-made; {
		case err == nil:
			came++
			wantAs[*async.ConnectError](t, "Listen", listenErr)
			wantIs(t, "Listen", listenErr, fs.ErrExist, syscall.EADDRINUSE)
			wantState(t, c, async.Idle)
			if text, err := os.ReadFile(path); string(text) != "precious" || err != nil {
				t.Errorf("the file that came during Listen: got %q and error %v", text, err)
			}
		case errors.Is(err, fs.ErrExist):
			wantNil(t, "Listen", listenErr)
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		default:
			t.Fatal(err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) > 1 {
			t.Errorf("beside it: got %v and error %v, want nothing", list, err)
		}
		watch.Close()
	}
	t.Logf("the file came first %d times", came)
}

// staleSocket returns the path of a socket at which nobody listens any more.
func staleSocket(t *testing.T) string {
	t.Helper()
	path := socketPath(t)
	qemutest.StaleSocket(t, path)
	return path
}

// Several clients find the same stale socket at the same time, and one of them
// listens there. Neither the others, nor a client that has just closed, removes
// its socket.
// Holds secure.
func TestListenAtOnceWhereAStaleSocketStands(t *testing.T) {
	t.Parallel()
	const rounds, rivals = 100, 3
	for range rounds {
		path := staleSocket(t)
		clients := make([]*async.Client, rivals)
		errs := make([]error, rivals)
		begin := make(chan struct{})
		var wg sync.WaitGroup
		for i := range rivals {
			clients[i] = newClient(t, nil)
			wg.Go(func() {
				<-begin
				errs[i] = clients[i].Listen(t.Context(), path)
			})
		}
		close(begin)
		wg.Wait()
		var winners []*async.Client
		for i, err := range errs {
			if err == nil {
				winners = append(winners, clients[i])
			} else {
				wantAs[*async.ConnectError](t, "Listen", err)
			}
		}
		if len(winners) != 1 {
			t.Fatalf("%d of %d listen at the same path (%v), want one", len(winners), rivals, errs)
		}

		// While that client closes, another one tries to listen until it succeeds.
		next := newClient(t, nil)
		closed := do(winners[0].Close)
		for {
			err := next.Listen(t.Context(), path)
			if err == nil {
				break
			}
			wantIs(t, "Listen", err, syscall.EADDRINUSE)
		}
		wantNil(t, "Close", <-closed)
		accepts(t, next, "unix", path)
	}
}

// A file is moved to the path of a stale socket. Listen does not remove it,
// whether it comes before Listen looks at the socket or after that.
// Holds secure.
func TestListenRemovesNothingButTheStaleSocket(t *testing.T) {
	t.Parallel()
	const rounds, enough, meanwhile = 300, 10000, "in place of the stale one"
	came := make(map[string]int)
	for round := 0; round < rounds || came[meanwhile] == 0; round++ {
		if round == enough {
			t.Fatalf("the file has never come in time: %v", came)
		}
		path := staleSocket(t)
		precious := filepath.Join(t.TempDir(), "precious")
		if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := newClient(t, nil)
		begin := make(chan struct{})
		moved := do(func() error {
			<-begin
			for range round % 100 * 10 {
				runtime.Gosched()
			}
			return os.Rename(precious, path)
		})
		close(begin)
		err := c.Listen(t.Context(), path)
		wantNil(t, "rename", <-moved)
		switch {
		case err == nil:
			came["after Listen, in place of its socket"]++
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		case strings.Contains(err.Error(), "appeared there meanwhile"):
			came[meanwhile]++
		default:
			came["earlier, or later"]++
			wantAs[*async.ConnectError](t, "Listen", err)
		}
		if text, err := os.ReadFile(path); string(text) != "precious" || err != nil {
			t.Fatalf("round %d: the file that came: got %q and error %v; Listen: %v", round, text, err, err)
		}
		if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
			t.Errorf("beside it: got %v and error %v, want nothing", list, err)
		}
	}
	t.Logf("the file came %v", came)
}

// Another program holds a lock on the folder, which every user can do who may
// read the folder. Listen still replaces the stale socket: it takes no
// lock.
func TestListenInALockedFolder(t *testing.T) {
	t.Parallel()
	path := staleSocket(t)
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	wantNil(t, "flock", unix.Flock(int(dir.Fd()), unix.LOCK_EX))
	c := newClient(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // so that a Listen that waits for the lock fails
	defer cancel()
	wantNil(t, "Listen", c.Listen(ctx, path))
	accepts(t, c, "unix", path)
}

// A client tries to listen where another one listens. The other one does not
// see a peer.
func TestListenDoesNotDisturbWhoListens(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	first, second := newClient(t, nil), newClient(t, nil)
	wantNil(t, "Listen", first.Listen(t.Context(), path))
	wantIs(t, "Listen where another listens", second.Listen(t.Context(), path), syscall.EADDRINUSE)
	accepts(t, first, "unix", path)
}
