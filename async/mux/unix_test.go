//go:build unix

package mux_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/async/qmptest"
	"golang.org/x/sys/unix"
)

// door serves a simulated machine at a unix socket, and returns the socket's path.
func door(t *testing.T, d *mux.Door) (s *qmptest.Server, path string) {
	t.Helper()
	s = qmptest.Start(t, nil)
	c, err := async.Dial(t.Context(), s.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := mux.New(mux.Over(c), nil)
	path = filepath.Join(t.TempDir(), "door")
	ln, err := mux.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- m.Serve(context.Background(), ln, d) }()
	t.Cleanup(func() {
		m.Close()
		<-served
		c.Close()
	})
	return s, path
}

// A unixUser sends bytes with descriptors.
type unixUser struct {
	*userConn
	conn *net.UnixConn
}

func dialUnix(t *testing.T, path string) unixUser {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	u := unixUser{newUserConn(t, c), c.(*net.UnixConn)}
	u.want(`{"QMP": ...`)
	u.send(plain)
	u.want(`{"return": {}}`)
	return u
}

// file returns an open file with this text.
func file(t *testing.T, text string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fmt.Fprint(f, text)
	return f
}

func (u unixUser) sendFiles(text string, files ...*os.File) {
	u.t.Helper()
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	if _, _, err := u.conn.WriteMsgUnix([]byte(text), unix.UnixRights(fds...), nil); err != nil {
		u.t.Fatal(err)
	}
}

// Descriptors reach the command for which they were sent, and no other, and no other user's.
func TestDescriptors(t *testing.T) {
	t.Parallel()
	s, path := door(t, nil)
	read := func(_ context.Context, cmd *qmptest.Command) (any, error) {
		var texts []string
		for _, f := range cmd.TakeFiles() {
			b, err := io.ReadAll(io.NewSectionReader(f, 0, 100))
			if err != nil {
				return nil, err
			}
			texts = append(texts, string(b))
			f.Close()
		}
		return strings.Join(texts, " "), nil
	}
	for _, name := range []string{"getfd", "add-fd", "other"} {
		s.Handle(name, read)
	}
	a, b := dialUnix(t, path), dialUnix(t, path)
	const none = `"error": {"class": "GenericError", "desc": "No file descriptor supplied via SCM_RIGHTS"}}`

	a.sendFiles(`{"execute":"getfd","arguments":{"fdname":"x"},"id":1}`, file(t, "one"))
	a.want(`{"return": "one", "id": 1}`)
	a.sendFiles(" ", file(t, "two"), file(t, "three"))
	a.send(`{"execute":"other","id":2}{"execute":"add-fd","id":3}{"execute":"add-fd","id":4}`)
	a.want(`{"return": "", "id": 2}`, `{"return": "two three", "id": 3}`, `{"id": 4, `+none)

	// A newer descriptor replaces an older one, and another user's is not taken.
	a.sendFiles(" ", file(t, "old"))
	a.sendFiles("\n", file(t, "new"))
	a.send(`{"execute":"other","id":5}`)
	a.want(`{"return": "", "id": 5}`)
	b.send(`{"execute":"getfd","id":6}`)
	b.want(`{"id": 6, ` + none)
	a.send(`{"execute":"getfd","id":7}`)
	a.want(`{"return": "new", "id": 7}`)

	// Those of a refused command, and of a user that leaves, are closed.
	a.sendFiles(`{"execute":"getfd","foo":1,"id":8}`, file(t, "refused"))
	a.want(`{"id": 8, "error": ...`)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	a.sendFiles(" ", w)
	w.Close()
	a.Close()
	r.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the Mux holds the pipe of a user that has left: %d, %v", n, err)
	}
}

// readFiles lets getfd return the texts of the files that it gets.
func readFiles(s *qmptest.Server) {
	s.Handle("getfd", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		text := "none"
		for _, f := range cmd.TakeFiles() {
			b, err := io.ReadAll(io.NewSectionReader(f, 0, 100))
			if err != nil {
				return nil, err
			}
			text = string(b)
			f.Close()
		}
		return text, nil
	})
}

// One read may bring commands that were sent before the descriptors. They do not get them.
func TestDescriptorsOfALaterCommand(t *testing.T) {
	t.Parallel()
	s, path := door(t, nil)
	release := (&setup{Server: s, t: t}).slow()
	readFiles(s)
	u := dialUnix(t, path)
	getfd := func(id int) string { return fmt.Sprintf(`{"execute":"getfd","id":%d}`, id) }
	// As many commands wait as may, so what comes next is read together, when one of them has
	// ended.
	const waiting = 65
	together := func(send func()) {
		t.Helper()
		u.send(strings.Repeat(`{"execute":"slow"}`, waiting+1))
		send()
		for range waiting + 1 {
			release <- struct{}{}
			u.want(`{"return": {}}`)
		}
	}
	const none = `"error": {"class": "GenericError", "desc": "No file descriptor supplied via SCM_RIGHTS"}}`
	together(func() {
		u.send(getfd(1))
		u.sendFiles(getfd(2), file(t, "mine"))
	})
	u.want(`{"id": 1, `+none, `{"return": "mine", "id": 2}`)
	together(func() {
		u.send(getfd(3))
		u.sendFiles(getfd(4)[:10], file(t, "whole"))
	})
	u.want(`{"id": 3, ` + none)
	u.send(getfd(4)[10:])
	u.want(`{"return": "whole", "id": 4}`)
	// Those that were sent before the first command are its own.
	u.sendFiles(" ", file(t, "first"))
	together(func() {
		u.send(getfd(5))
		u.sendFiles(getfd(6)+"\r\n", file(t, "second"))
	})
	u.want(`{"return": "first", "id": 5}`, `{"return": "second", "id": 6}`)
}

// The descriptors of a command that a door does not allow are closed before it is its turn.
func TestRefusedDescriptors(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]*mux.Door{"denied": {Deny: []string{"getfd"}}, "too many": {MaxCommands: 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var j journal
			d.Audit = j.logger()
			s, path := door(t, d)
			release := (&setup{Server: s, t: t}).slow()
			u := dialUnix(t, path)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			u.send(`{"execute":"slow"}`)
			u.sendFiles(`{"execute":"getfd","id":1}`, w)
			w.Close()
			r.SetReadDeadline(time.Now().Add(time.Minute))
			if n, err := r.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the Mux holds the descriptor of a refused command: %d, %v", n, err)
			}
			close(release)
			u.want(`{"return": {}}`, `{"id": 1, "error": ...`)
			j.mu.Lock()
			defer j.mu.Unlock()
			if last := j.lines[len(j.lines)-1]; last["files"] != 1.0 || last["result"] != "refused" {
				t.Errorf("audit: %v", last)
			}
		})
	}
}

// The audit line has the credentials of the process that connected.
func TestPeer(t *testing.T) {
	t.Parallel()
	var j journal
	_, path := door(t, &mux.Door{Audit: j.logger()})
	dialUnix(t, path)
	want := "unknown"
	if runtime.GOOS == "linux" || runtime.GOOS == "darwin" {
		want = fmt.Sprintf("uid %d gid %d pid %d", os.Getuid(), os.Getgid(), os.Getpid())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.lines) != 1 || j.lines[0]["peer"] != want {
		t.Errorf("audit: %v, want the peer %s", j.lines, want)
	}
}

// Another socket than a unix one has an address and no credentials.
func TestPeerOverTCP(t *testing.T) {
	t.Parallel()
	for p, want := range map[mux.Peer]string{
		{}:                                    "unknown",
		{Known: true, UID: 1, GID: 2}:         "uid 1 gid 2",
		{Known: true, UID: 1, GID: 2, PID: 3}: "uid 1 gid 2 pid 3",
		{Addr: &net.UnixAddr{Name: "@"}}:      "unknown",
		{Addr: &net.UnixAddr{Name: ""}}:       "unknown",
	} {
		if got := p.String(); got != want {
			t.Errorf("%+v: %s, want %s", p, got, want)
		}
	}
	ln, err := mux.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := qmptest.Start(t, nil)
	c, err := async.Dial(t.Context(), s.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := mux.New(mux.Over(c), nil)
	defer m.Close()
	var j journal
	served := make(chan error, 1)
	go func() { served <- m.Serve(context.Background(), ln, &mux.Door{Audit: j.logger()}) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, plain)
	lines := bufio.NewReader(conn)
	for range 2 {
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	j.mu.Lock()
	peer := j.lines[0]["peer"]
	j.mu.Unlock()
	if peer != conn.LocalAddr().String() {
		t.Errorf("the peer is %v, want %v", peer, conn.LocalAddr())
	}
	m.Close()
	<-served
}

// Listen refuses what is not an address, and what another program uses.
func TestListenErrors(t *testing.T) {
	t.Parallel()
	if _, err := mux.Listen(t.Context(), "http://x"); err == nil || !strings.Contains(err.Error(), "URL") {
		t.Errorf("Listen: %v", err)
	}
	path := filepath.Join(t.TempDir(), "door")
	ln, err := mux.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := mux.Listen(t.Context(), path); err == nil {
		t.Error("two doors at one path")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A socket for a group has mode 0660 and that group.
func TestListenGroup(t *testing.T) {
	t.Parallel()
	group := os.Getgid()
	path := filepath.Join(t.TempDir(), "door")
	ln, err := mux.ListenGroup(t.Context(), path, fmt.Sprint(group))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if gid := info.Sys().(*syscall.Stat_t).Gid; info.Mode() != os.ModeSocket|0o660 || int(gid) != group {
		t.Errorf("%s: mode %v, group %d, want %d", path, info.Mode(), gid, group)
	}
	for addr, want := range map[string]string{"127.0.0.1:0": "only the path of a unix socket", "@x": "only the path of a unix socket", "http://x": "URL"} {
		if _, err := mux.ListenGroup(t.Context(), addr, "0"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ListenGroup(%s): %v", addr, err)
		}
	}
	if _, err := mux.ListenGroup(t.Context(), path+"2", "no-such-group"); err == nil || !strings.Contains(err.Error(), "no-such-group") {
		t.Errorf("ListenGroup: %v", err)
	}
}
