package socket

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// These tests hold what docs/guarantees.md says under "Secure by default", against
// other users and other programs on the same machine.

// leaveStale leaves a socket at path at which nobody listens.
func leaveStale(t testing.TB, path string) {
	t.Helper()
	withoutForks(func() {
		ln, err := net.ListenUnix("unix", unixAddr(path))
		must(t, err)
		ln.SetUnlinkOnClose(false)
		must(t, ln.Close())
	})
}

// patience returns a context whose time limit no call of these tests reaches.
func patience(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// isEmpty requires that a folder has no files except those named.
func isEmpty(t testing.TB, dir string, but ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if strings.Join(names, " ") != strings.Join(but, " ") {
		t.Errorf("%s has the files %q, want %q", dir, names, but)
	}
}

// keepListening listens and closes the listener, again and again, until enough
// returns true. It returns how often it could listen.
func keepListening(t testing.TB, path string, enough func(round int) bool) (fine int) {
	t.Helper()
	for round := 0; !enough(round); round++ {
		l, err := Listen(patience(t), "unix", path)
		if err != nil {
			continue // the folder's owner can make Listen fail
		}
		fine++
		_ = l.Close()
	}
	return fine
}

// The folder belongs to another user, who replaces the folder in which the socket
// is made by one with a link in it. Listen does not change the file to which the
// link leads.
// Holds secure.
func TestFolderOfAnotherIsATrap(t *testing.T) {
	t.Parallel()
	dir := openDir(t, nobody, 0o755)
	target := filepath.Join(dir, "target")
	must(t, os.WriteFile(target, []byte("precious"), 0o644))
	must(t, os.Chmod(target, 0o644))
	r := startRival(t, nobody, "trap", dir)
	fine := keepListening(t, filepath.Join(dir, "qmp"), func(round int) bool {
		info, err := os.Stat(target)
		must(t, err)
		if info.Mode().Perm() != 0o644 || info.Size() != 8 {
			t.Fatalf("round %d: the file has mode %v and %d bytes, want -rw-r--r-- and 8", round, info.Mode(), info.Size())
		}
		return round == 600
	})
	traps := r.stop(t)
	if n, _ := strconv.Atoi(traps); n == 0 {
		t.Errorf("the neighbour set %s traps", traps)
	}
	t.Logf("the neighbour set %s traps; %d of 600 listened", traps, fine)
}

// The other user replaces the folder in which the socket is made by another folder
// of ours. Listen removes no file from that.
// Holds secure.
func TestFolderOfAnotherEmptiesNothing(t *testing.T) {
	t.Parallel()
	dir := openDir(t, nobody, 0o755)
	sibling := filepath.Join(dir, "sibling")
	must(t, os.Mkdir(sibling, 0o700))
	must(t, os.WriteFile(filepath.Join(sibling, "precious"), nil, 0o600))
	must(t, os.Mkdir(filepath.Join(sibling, "folder"), 0o700))
	held, err := os.Open(sibling)
	must(t, err)
	defer held.Close()
	info, err := held.Stat()
	must(t, err)
	r := startRival(t, nobody, "exchange", dir, strconv.FormatUint(info.Sys().(*syscall.Stat_t).Ino, 10))
	fine := keepListening(t, filepath.Join(dir, "qmp"), func(round int) bool {
		_, err := held.Seek(0, io.SeekStart)
		must(t, err)
		names, err := held.Readdirnames(-1)
		if len(names) != 2 {
			t.Fatalf("round %d: the sibling has the files %q (%v), want two", round, names, err)
		}
		return round == 600
	})
	times := r.stop(t)
	if n, _ := strconv.Atoi(times); n == 0 {
		t.Errorf("the neighbour exchanged the folders %s times", times)
	}
	t.Logf("the neighbour exchanged the folders %s times; %d of 600 listened", times, fine)
}

// In a shared folder with the sticky bit other users cannot connect to the socket,
// enter the folder in which it is made, or remove or replace either.
// Holds secure.
func TestSharedFolder(t *testing.T) {
	t.Parallel()
	dir := openDir(t, os.Getuid(), 0o777|fs.ModeSticky)
	path := filepath.Join(dir, "qmp")
	r := startRival(t, nobody, "meddle", dir)
	for range 500 {
		l, err := Listen(patience(t), "unix", path)
		must(t, err)
		must(t, connectTo(path))
		must(t, l.Close())
	}
	worked := r.stop(t)
	if !strings.HasPrefix(worked, "0 of ") || worked == "0 of 0" {
		t.Errorf("the neighbour succeeded %s times, want 0 of many", worked)
	}
	t.Logf("the neighbour succeeded %s times", worked)
	isEmpty(t, dir)
}

// In such a folder a stale socket of another user cannot be replaced, and the error
// says so.
// Holds secure.
func TestStaleSocketOfAnother(t *testing.T) {
	t.Parallel()
	dir := openDir(t, os.Getuid(), 0o777|fs.ModeSticky)
	path := filepath.Join(dir, "qmp")
	leaveStale(t, path)
	must(t, os.Chmod(path, 0o777))
	r := startRival(t, nobody, "listen", path)
	_, err := io.WriteString(r.stdin, "\n")
	must(t, err)
	if got := r.line(t); !strings.Contains(got, "belongs to another user") || !strings.Contains(got, "address already in use") {
		t.Errorf("another user: %s", got)
	}
	isEmpty(t, dir, "qmp")
}

// Listen does not wait for a lock that another user holds on the folder.
// Holds secure.
func TestFolderThatAnotherLocks(t *testing.T) {
	t.Parallel()
	dir := openDir(t, os.Getuid(), 0o755)
	path := filepath.Join(dir, "qmp")
	leaveStale(t, path)
	r := startRival(t, nobody, "lock", dir)
	if got := r.line(t); got != "locked: <nil>" {
		t.Fatal(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	l, err := Listen(ctx, "unix", path)
	must(t, err)
	must(t, l.Close())
	isEmpty(t, dir)
}

// listenAtOnce calls Listen for one path from several goroutines at the same time.
// It requires that exactly one succeeds, and returns its listener.
func listenAtOnce(t *testing.T, path string, rivals int) *Listener {
	t.Helper()
	ls, errs := make([]*Listener, rivals), make([]error, rivals)
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i := range rivals {
		wg.Go(func() {
			<-begin
			ls[i], errs[i] = Listen(t.Context(), "unix", path)
		})
	}
	close(begin)
	wg.Wait()
	var winner *Listener
	for i, l := range ls {
		switch {
		case l == nil && !errors.Is(errs[i], syscall.EADDRINUSE):
			t.Errorf("a Listen that failed: got error %v, want %v", errs[i], syscall.EADDRINUSE)
		case l != nil && winner != nil:
			t.Fatalf("two of %d listen at one path", rivals)
		case l != nil:
			winner = l
		}
	}
	if winner == nil {
		t.Fatalf("none of %d listens: %v", rivals, errs)
	}
	return winner
}

// If many goroutines listen at one path at the same time, exactly one succeeds, and
// connections reach that one. It makes no difference whether there was a stale
// socket.
// Holds secure.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	for _, rivals := range []int{2, 3, 10} {
		for _, stale := range []bool{false, true} {
			dir := openDir(t, os.Getuid(), 0o700)
			path := filepath.Join(dir, "qmp")
			for range 100 {
				if stale {
					leaveStale(t, path)
				}
				l := listenAtOnce(t, path, rivals)
				conn, err := net.Dial("unix", path)
				must(t, err)
				peer, err := l.Accept(patience(t))
				must(t, err)
				conn.Close()
				peer.Close()
				must(t, l.Close())
				isEmpty(t, dir)
			}
		}
	}
}

// The same holds for several programs.
// Holds secure.
func TestManyProgramsAtOnce(t *testing.T) {
	t.Parallel()
	dir := openDir(t, os.Getuid(), 0o700)
	path := filepath.Join(dir, "qmp")
	for range 5 {
		leaveStale(t, path)
		var rivals []*rival
		for range 4 {
			rivals = append(rivals, startRival(t, uint32(os.Getuid()), "listen", path))
		}
		for _, r := range rivals {
			_, err := io.WriteString(r.stdin, "\n")
			must(t, err)
		}
		listen := 0
		for _, r := range rivals {
			if line := r.line(t); line == "listens: <nil>" {
				listen++
			} else if !strings.Contains(line, "in use") {
				t.Error(line)
			}
		}
		if listen != 1 {
			t.Errorf("%d of 4 programs listen at one path", listen)
		}
		must(t, connectTo(path))
		for _, r := range rivals {
			r.stdin.Close()
			must(t, r.cmd.Wait())
		}
		isEmpty(t, dir)
	}
}

// The socket's mode is 0600 with every umask. (Not parallel: the umask is that of
// the whole process.)
// Holds secure.
func TestModeFromTheStart(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077, 0o777} {
		if mask == 0o777 && os.Getuid() != 0 {
			continue // with this umask the user could not enter the new folder
		}
		dir := openDir(t, os.Getuid(), 0o700)
		path := filepath.Join(dir, "qmp")
		old := syscall.Umask(mask)
		l, err := Listen(t.Context(), "unix", path)
		syscall.Umask(old)
		must(t, err)
		info, err := os.Lstat(path)
		must(t, err)
		if info.Mode() != 0o600|fs.ModeSocket {
			t.Errorf("umask %03o: the socket has mode %v, want Srw-------", mask, info.Mode())
		}
		must(t, l.Close())
	}
}

// A listener works in the folder in which its socket was made, even if that folder
// was renamed and another one has its name.
// Holds secure.
func TestFolderThatMoves(t *testing.T) {
	t.Parallel()
	dir := openDir(t, os.Getuid(), 0o700)
	in, moved := filepath.Join(dir, "in"), filepath.Join(dir, "moved")
	must(t, os.Mkdir(in, 0o700))
	l, err := Listen(t.Context(), "unix", filepath.Join(in, "qmp"))
	must(t, err)
	must(t, os.Rename(in, moved))
	must(t, os.Mkdir(in, 0o700))
	must(t, os.WriteFile(filepath.Join(in, "qmp"), nil, 0o600))
	must(t, connectTo(filepath.Join(moved, "qmp")))
	must(t, l.Close())
	isEmpty(t, moved)
	isEmpty(t, in, "qmp")
}

// Where the system or the file system cannot exchange two files, Listen moves the
// file at the path away first. If that is not a stale socket, Listen moves it back.
func TestTakeAway(t *testing.T) {
	t.Parallel()
	dir := openDir(t, os.Getuid(), 0o700)
	path := filepath.Join(dir, "qmp")
	parent, err := openFolder(unix.AT_FDCWD, dir)
	must(t, err)
	defer parent.Close()
	file := &socketFile{dir: parent, base: "qmp"}
	try := func() (*workshop, error) {
		w, err := newWorkshop(parent, path)
		must(t, err)
		err = w.takeAway(file, path)
		return w, err
	}
	w, err := try()
	must(t, err) // there is no file
	must(t, w.remove())

	leaveStale(t, path)
	w, err = try()
	must(t, err)
	must(t, w.remove())
	isEmpty(t, dir)

	must(t, os.WriteFile(path, []byte("precious"), 0o600))
	w, err = try()
	if !errors.Is(err, syscall.EADDRINUSE) || !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "appeared there meanwhile") {
		t.Errorf("a file at the path: got error %v, want one that says that it appeared meanwhile", err)
	}
	must(t, w.remove())
	isEmpty(t, dir, "qmp")
}

// Only the owner can connect.
// Holds secure.
func TestOthersCannotConnect(t *testing.T) {
	t.Parallel()
	dir := openDir(t, os.Getuid(), 0o755)
	path := filepath.Join(dir, "qmp")
	l, err := Listen(t.Context(), "unix", path)
	must(t, err)
	defer l.Close()
	r := startRival(t, nobody, "connect", path)
	if got := r.line(t); got != unix.EACCES.Error() {
		t.Errorf("another user connects: got error %q, want %q", got, unix.EACCES)
	}
	must(t, connectTo(path))
}

// A file that was taken from the path by mistake is put back, whatever other
// programs do meanwhile. If that is not possible, the file is kept, and the error
// says where.
// Holds secure.
func TestGiveBack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		at       string // which file is at path: "ours", "another" or ""
		canceled bool   // the context has ended
		left     string // the files in the folder afterwards; "aside" is the kept folder
	}{
		{name: "our own socket is at the path", at: "ours", left: "qmp"},
		{name: "no file is at the path", left: "qmp"},
		{name: "another file is at the path, and our socket is gone", at: "another", left: "aside qmp"},
		{name: "the context has ended", at: "ours", canceled: true, left: "aside qmp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := openDir(t, os.Getuid(), 0o700)
			path := filepath.Join(dir, "qmp")
			parent, err := openFolder(unix.AT_FDCWD, dir)
			must(t, err)
			defer parent.Close()
			w, err := newWorkshop(parent, path)
			must(t, err)
			ln, err := w.listen(path)
			must(t, err)
			defer ln.Close()
			file := &socketFile{dir: parent, base: "qmp"}
			file.id, err = identify(w.dir, made)
			must(t, err)
			inside := filepath.Join(dir, w.name, made)
			must(t, os.Rename(inside, path))
			if tt.at != "ours" {
				must(t, os.Remove(path))
			}
			if tt.at == "another" {
				must(t, os.WriteFile(path, []byte("another"), 0o600))
			}
			must(t, os.WriteFile(inside, []byte("precious"), 0o600))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.canceled {
				cancel()
			}
			err = w.giveBack(ctx, file, path)
			if !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("got error %v, want %v", err, syscall.EADDRINUSE)
			}
			must(t, w.remove())
			if strings.HasPrefix(tt.left, "aside") {
				if !strings.Contains(err.Error(), "moved to "+inside) {
					t.Errorf("got error %v, want it to name %s", err, inside)
				}
				isEmpty(t, dir, w.name, "qmp")
				isEmpty(t, filepath.Join(dir, w.name), made)
				return
			}
			isEmpty(t, dir, "qmp")
			if text, err := os.ReadFile(path); string(text) != "precious" {
				t.Errorf("the file at the path has %q (%v), want the content that was there before", text, err)
			}
		})
	}
}
