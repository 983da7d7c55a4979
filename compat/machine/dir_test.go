//go:build unix

package machine

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// swaps replace a directory by something else of this user's, as the owner of the
// parent directory can do.
var swaps = map[string]func(dir, victim string) error{
	"a link to another": func(dir, victim string) error { return os.Symlink(victim, dir) },
	"another":           func(dir, victim string) error { return os.Rename(victim, dir) },
}

// swapped makes a directory, replaces it by something else, and calls remove for it. Then
// it checks that only the contents of the directory are gone.
func swapped(t *testing.T, removes func(d *privateDir) func()) {
	for name, swap := range swaps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			victim := filepath.Join(parent, "victim")
			for _, err := range []error{os.Mkdir(victim, 0o700), os.WriteFile(filepath.Join(victim, "precious"), nil, 0o600)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			d, err := makeDir(parent, "d-")
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{"file", ".hidden", "..odd", "sub/file", "sub/.hidden"} {
				_ = d.root.MkdirAll(filepath.Dir(file), 0o700)
				if err := d.root.WriteFile(file, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.root.Symlink(victim, "link"); err != nil {
				t.Fatal(err)
			}
			away := filepath.Join(parent, "away")
			remove := removes(d)
			if err := os.Rename(d.path, away); err != nil {
				t.Fatal(err)
			}
			if err := swap(d.path, victim); err != nil {
				t.Fatal(err)
			}
			remove()
			if _, err := os.Stat(filepath.Join(d.path, "precious")); err != nil {
				t.Errorf("what has replaced the directory was removed: %v", err)
			}
			if left, err := os.ReadDir(away); err != nil || len(left) > 0 {
				t.Errorf("the directory was not emptied: %v, %v", left, err)
			}
		})
	}
}

func TestRemovalOfWhatWasMade(t *testing.T) {
	t.Parallel()
	swapped(t, func(d *privateDir) func() {
		return func() {
			if err := d.remove(); err == nil || !strings.Contains(err.Error(), d.path) {
				t.Errorf("the error does not name the directory: %v", err)
			}
		}
	})
}

func TestKeeperRemovesWhatWasMade(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		qemutest.Unsupported(t, "without /proc the keeper goes by names")
	}
	swapped(t, func(d *privateDir) func() {
		k := startKeeper(d)
		if k == nil {
			t.Fatal("there is no keeper")
		}
		return func() {
			_ = k.pipe.Close() // as at the end of this program
			_ = k.cmd.Wait()
			k.handle.close()
			d.close()
		}
	})
}

func TestDirThatWasSwappedAtOnce(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	for name, prepare := range map[string]func(path string) error{
		"a link":      func(path string) error { return os.Symlink(t.TempDir(), path) },
		"open to all": func(path string) error { return os.Mkdir(path, 0o755) },
		"not empty":   func(path string) error { return os.MkdirAll(filepath.Join(path, "sub"), 0o700) },
		"not there":   func(string) error { return nil },
	} {
		path := filepath.Join(parent, name)
		if err := prepare(path); err != nil {
			t.Fatal(err)
		}
		if _, err := openNewDir(path); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	d, err := makeDir(parent, "d-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(d.path); err != nil {
		t.Fatal(err)
	}
	if err := d.remove(); err != nil {
		t.Errorf("one that somebody has removed already: %v", err)
	}
}

// slowConn is a connection whose Close takes a long time.
type slowConn struct {
	net.Conn
	closing, goOn chan struct{}
}

func (c *slowConn) Close() error {
	close(c.closing)
	<-c.goOn
	return nil
}

// A call that only asks about a machine does not wait for its files and sockets.
func TestNobodyWaitsForFilesAndSockets(t *testing.T) {
	t.Parallel()
	ask := func(t *testing.T, m *Machine) {
		t.Helper()
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			m.Running()
			m.ExitStatus()
			m.CommandLine()
			_ = m.Log()
			m.AddArgs("x")
			m.Console()
		}()
		select {
		case <-asked:
		case <-time.After(time.Minute):
			t.Fatal("they wait")
		}
	}
	t.Run("while the directory is made", func(t *testing.T) {
		t.Parallel()
		m := New("none", nil)
		m.placing <- struct{}{} // somebody makes it
		made := make(chan error)
		for range 2 {
			go func() {
				_, err := m.Dir()
				made <- err
			}()
		}
		ask(t, m)
		<-m.placing
		for range 2 {
			if err := <-made; err != nil {
				t.Error(err)
			}
		}
		if err := m.Kill(); err != nil {
			t.Error(err)
		}
	})
	t.Run("while the console is closed", func(t *testing.T) {
		t.Parallel()
		m := New("none", nil)
		conn := &slowConn{closing: make(chan struct{}), goOn: make(chan struct{})}
		r := &run{machine: m, console: conn, launched: make(chan struct{})}
		m.run = r
		collected := make(chan error)
		go func() { collected <- r.collect() }()
		<-conn.closing
		ask(t, m)
		close(conn.goOn)
		if err := <-collected; err != nil {
			t.Error(err)
		}
	})
}
