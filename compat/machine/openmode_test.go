//go:build unix

package machine_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// From a descriptor set QEMU takes only a file that was opened in the mode that the
// command needs. The documentation of PassFD and AddFD says so.
func TestOpenModeOfPassedFiles(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	path := filepath.Join(t.TempDir(), "disk")
	must(t, os.WriteFile(path, make([]byte, 1<<20), 0o600))
	m := newQEMU(t, machine.Options{})
	modes := map[string]int{"read": os.O_RDONLY, "write": os.O_WRONLY, "both": os.O_RDWR}
	sets := map[string]string{}
	next := 10
	for name, mode := range modes {
		f, err := os.OpenFile(path, mode, 0)
		must(t, err)
		defer f.Close()
		next++
		m.AddFD(f, next, "")
		sets["AddFD "+name] = fmt.Sprintf("/dev/fdset/%d", next)
		if name != "write" {
			m.AddFD(f, 20, "") // a set may hold one for each mode
		}
	}
	sets["AddFD each"] = "/dev/fdset/20"
	must(t, m.Launch(ctx))
	for name, mode := range modes {
		f, err := os.OpenFile(path, mode, 0)
		must(t, err)
		defer f.Close()
		sets["PassFD "+name], err = m.PassFD(ctx, f, "")
		must(t, err)
		if name != "write" {
			reply, err := m.Do(ctx, async.Command{Name: "add-fd", Args: machine.Args{"fdset_id": 30}, Files: []*os.File{f}})
			must(t, err)
			must(t, reply.Err())
		}
	}
	sets["PassFD each"] = "/dev/fdset/30"
	for _, how := range []string{"AddFD ", "PassFD "} {
		for _, tt := range []struct {
			mode string
			node machine.Args
			ok   bool
		}{
			{"both", machine.Args{}, true},
			{"read", machine.Args{}, false},
			{"write", machine.Args{}, false},
			{"read", machine.Args{"read_only": true}, true},
			{"both", machine.Args{"read_only": true}, false},
			{"read", machine.Args{"auto_read_only": true}, true},
			{"both", machine.Args{"auto_read_only": true}, false}, // opened for reading as long as nobody writes
			{"each", machine.Args{}, true},
			{"each", machine.Args{"read_only": true}, true},
			{"each", machine.Args{"auto_read_only": true}, true},
		} {
			args := machine.Args{"driver": "file", "node_name": "n", "filename": sets[how+tt.mode]}
			for name, value := range tt.node {
				args[name] = value
			}
			_, err := m.Command(ctx, "blockdev-add", args)
			var refused *async.ExecuteError
			if tt.ok != (err == nil) || err != nil && !errors.As(err, &refused) {
				t.Errorf("%s%s, %v: %v", how, tt.mode, tt.node, err)
			}
			if err == nil {
				_, err = m.Command(ctx, "blockdev-del", machine.Args{"node_name": "n"})
				must(t, err)
			}
		}
	}
}
