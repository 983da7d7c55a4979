//go:build unix

// Tests with a real QEMU: descriptors (rule E15).
// The code that they hold: files.go, call.go, write.go and internal/socket.
package async_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// addedFD is what add-fd returns.
type addedFD struct {
	SetID int `json:"fdset-id"`
	FD    int `json:"fd"`
}

// fdSet is one entry of what query-fdsets returns.
type fdSet struct {
	ID  int `json:"fdset-id"`
	FDs []struct {
		FD     int    `json:"fd"`
		Opaque string `json:"opaque"`
	} `json:"fds"`
}

// Many callers add a file at the same time. QEMU adds each caller's own file,
// in whatever order the commands are sent: with oob, where the monitor reads
// ahead of the command that it executes, and without.
func TestE15EachAddFDGetsItsOwnFile_QEMU(t *testing.T) {
	t.Parallel()
	for name, noOOB := range map[string]bool{"oob": false, "no oob": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vm, c := startReal(t, &async.Options{NoOOB: noOOB})
			ctx := qemutest.Context(t)
			files := someFiles(t, 40)
			added := make([]addedFD, len(files))
			errs := make([]error, len(files))
			var wg sync.WaitGroup
			for i, f := range files {
				wg.Go(func() {
					reply, err := c.Do(ctx, async.Command{
						Name: "add-fd", Args: arguments{"fdset-id": i, "opaque": f.Name()},
						Files: []*os.File{f},
					})
					if err == nil {
						err = reply.Decode(&added[i])
					}
					errs[i] = err
				})
				wg.Go(func() { // other commands are sent between them
					if _, err := c.Execute(ctx, "query-name", nil); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for i, f := range files {
				if errs[i] != nil {
					t.Errorf("add-fd %d: %v", i, errs[i])
					continue
				}
				if added[i].SetID != i || !vm.SameFile(t, added[i].FD, f.Name()) {
					t.Errorf("add-fd %d made %+v, which is not %s", i, added[i], f.Name())
				}
			}

			// QEMU's own list has the right file under each label.
			sets := callReal[[]fdSet](t, c, "query-fdsets", nil)
			if len(sets) != len(files) {
				t.Errorf("%d sets, want %d", len(sets), len(files))
			}
			for _, set := range sets {
				if len(set.FDs) != 1 || !vm.SameFile(t, set.FDs[0].FD, set.FDs[0].Opaque) {
					t.Errorf("set %+v does not hold the file that its label names", set)
				}
			}

			// The files are still the caller's.
			for _, f := range files {
				if _, err := f.WriteString("mine"); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// QEMU opens a file of a set. It is the caller's file.
func TestE15FileIsUsedThroughItsSet_QEMU(t *testing.T) {
	t.Parallel()
	_, c := startReal(t, nil)
	const size = 12345 * 512
	f := someFiles(t, 1)[0]
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(qemutest.Context(t), async.Command{
		Name: "add-fd", Args: arguments{"fdset-id": 7}, Files: []*os.File{f},
	}); err != nil {
		t.Fatal(err)
	}
	mustReal(t, c, "blockdev-add", arguments{"driver": "file", "node-name": "n", "filename": "/dev/fdset/7"})
	nodes := callReal[[]struct {
		Image struct {
			Size int64 `json:"virtual-size"`
		} `json:"image"`
	}](t, c, "query-named-block-nodes", nil)
	if len(nodes) != 1 || nodes[0].Image.Size != size {
		t.Errorf("got %+v, want one node of %d bytes", nodes, size)
	}
}

func TestE15GetFD_QEMU(t *testing.T) {
	t.Parallel()
	for name, noOOB := range map[string]bool{"oob": false, "no oob": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vm, c := startReal(t, &async.Options{NoOOB: noOOB})
			ctx := qemutest.Context(t)
			for i, f := range someFiles(t, 3) {
				name := fmt.Sprintf("fd-%d", i)
				cmd := async.Command{Name: "getfd", Args: arguments{"fdname": name}, Files: []*os.File{f}}
				if reply, err := c.Do(ctx, cmd); err != nil || reply.Err() != nil {
					t.Fatal(err, reply.Err())
				}
				if n := vm.Holds(t, f.Name()); n != 1 {
					t.Errorf("QEMU holds %s %d times, want once", f.Name(), n)
				}
				mustReal(t, c, "closefd", arguments{"fdname": name})
				if n := vm.Holds(t, f.Name()); n != 0 {
					t.Errorf("QEMU still holds %s %d times", f.Name(), n)
				}
			}

			// A command without a file does not get a file that was sent before.
			_, err := c.Execute(ctx, "getfd", arguments{"fdname": "none"})
			if e := wantAs[*async.ExecuteError](t, "getfd without a file", err); !strings.Contains(e.Desc, "SCM_RIGHTS") {
				t.Errorf("got %v", e)
			}
		})
	}
}

// The way of Python's old module: the file is sent first, and the command that
// takes it after that.
func TestE15SendFilesAhead_QEMU(t *testing.T) {
	t.Parallel()
	for name, noOOB := range map[string]bool{"oob": false, "no oob": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vm, c := startReal(t, &async.Options{NoOOB: noOOB})
			ctx := qemutest.Context(t)
			for i, f := range someFiles(t, 10) {
				if err := c.SendFiles(ctx, f); err != nil {
					t.Fatal(err)
				}
				fd := callReal[addedFD](t, c, "add-fd", arguments{"fdset-id": i})
				if !vm.SameFile(t, fd.FD, f.Name()) {
					t.Errorf("add-fd %d made %+v, which is not %s", i, fd, f.Name())
				}
			}
			wantAlive(t, c)
		})
	}
}

// The caller of a command with a file has given up. The next command with a
// file waits until QEMU has answered the first one.
func TestE15AbandonedCommandKeepsItsFile_QEMU(t *testing.T) {
	t.Parallel()
	opts := &async.Options{}
	w := watchWire(opts)
	vm, c := startReal(t, opts)
	ctx := qemutest.Context(t)
	files := someFiles(t, 2)
	b := newBlock(t, vm)
	slow := start(ctx, c, b.cmd)
	w.await(t, 1)

	abandonCtx, abandon := context.WithCancel(ctx)
	first := start(abandonCtx, c, async.Command{Name: "add-fd", Args: arguments{"fdset-id": 0}, Files: files[:1]})
	w.await(t, 2)
	wantOOB(t, c, "so the other has been written")
	abandon()
	wantInterrupted(t, "the first add-fd", await(t, "the first add-fd", first).err, true)

	second := start(ctx, c, async.Command{Name: "add-fd", Args: arguments{"fdset-id": 1}, Files: files[1:]})
	wantOOB(t, c, "while a command with a file waits for its turn")
	wantPending(t, "the second add-fd", second)
	if got := w.commands(); len(got) != 4 {
		t.Errorf("sent %v, want nothing more with a file", got)
	}
	b.release(t)
	wantNil(t, "the slow command", await(t, "the slow command", slow).err)
	if r := await(t, "the second add-fd", second); r.err != nil {
		t.Fatal(r.err)
	}
	for _, set := range callReal[[]fdSet](t, c, "query-fdsets", nil) {
		if !vm.SameFile(t, set.FDs[0].FD, files[set.ID].Name()) {
			t.Errorf("set %d does not hold the file that was sent for it", set.ID)
		}
	}
}

// Files need a unix socket. Over TCP they are refused before anything is sent.
func TestE15NoFilesOverTCP_QEMU(t *testing.T) {
	t.Parallel()
	opts := &async.Options{}
	w := watchWire(opts)
	_, c := startTCP(t, opts)
	f := someFiles(t, 1)
	_, err := c.Do(qemutest.Context(t), async.Command{Name: "add-fd", Files: f})
	wantAs[*async.MessageError](t, "add-fd over TCP", err)
	wantText(t, "add-fd over TCP", err, "unix socket")
	err = c.SendFiles(qemutest.Context(t), f...)
	wantAs[*async.MessageError](t, "SendFiles over TCP", err)
	if got := w.commands(); len(got) != 0 {
		t.Errorf("sent %v, want nothing", got)
	}
	wantAlive(t, c)
}
