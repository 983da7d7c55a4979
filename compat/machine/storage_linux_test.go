package machine_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/qapi"
)

// A storage is a storage daemon with the node "disk", which is a raw file of 1 MiB full
// of the byte 0x5a.
type storage struct {
	*machine.Machine
	t        *testing.T
	ctx      context.Context
	dir, img string
}

const diskSize = 1 << 20

func newStorage(t *testing.T) *storage {
	t.Helper()
	s := &storage{t: t, ctx: qemutest.Context(t), dir: qemutest.Dir(t)}
	s.img = s.path("disk.img")
	must(t, os.WriteFile(s.img, bytes.Repeat([]byte{0x5a}, diskSize), 0o600))
	s.Machine = machine.ForTest(t, qemutest.Find(t, qemutest.StorageDaemon), &machine.Options{
		Name: "storage", StorageDaemon: true,
		Args: []string{"--blockdev", "driver=file,node-name=disk,filename=" + machine.Escape(s.img)},
	})
	must(t, s.Launch(s.ctx))
	return s
}

func (s *storage) path(name string) string { return filepath.Join(s.dir, name) }

// needs skips the test if the daemon was built without exports of that type.
func (s *storage) needs(kind qapi.BlockExportType) {
	s.t.Helper()
	schema, err := qapi.Introspect(s.ctx, s)
	must(s.t, err)
	if !schema.Has("block-export-add", "type", string(kind)) {
		qemutest.Lacks(s.t, "the storage daemon %s was built without exports by %s", schema.Version(), kind)
	}
}

// remove removes an export, and returns when it has ended.
func (s *storage) remove(id string) {
	s.t.Helper()
	events := s.Client().NewListener(nil, "BLOCK_EXPORT_DELETED")
	defer events.Close()
	must(s.t, qapi.BlockExportDel(s.ctx, s, &qapi.BlockExportDelArguments{ID: id}))
	_, err := qapi.Wait(s.ctx, events, func(ev *qapi.BlockExportDeletedEvent) bool { return ev.ID == id })
	must(s.t, err)
}

// refused requires err to be a refusal with this text.
func refused(t *testing.T, err error, text string) {
	t.Helper()
	if e, ok := errors.AsType[*async.ExecuteError](err); !ok || !strings.Contains(e.Desc, text) {
		t.Errorf("error %v, want a refusal that says %q", err, text)
	}
}

// A disk over vhost-user outlives the machine that uses it: the machine is killed, and
// the next one uses the same export.
func TestVhostUserOutlivesItsMachine(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	s.needs(qapi.BlockExportTypeVhostUserBlk)
	add := &qapi.BlockExportOptions{
		ID: "export", NodeName: "disk", Writable: new(true),
		VhostUserBlk: &qapi.BlockExportOptionsVhostUserBlk{
			Addr: qapi.SocketAddress{Unix: &qapi.UnixSocketAddress{Path: s.path("vhost")}},
		},
	}
	must(t, qapi.BlockExportAdd(s.ctx, s, add))
	refused(t, qapi.BlockExportAdd(s.ctx, s, add), "already in use")
	for range 2 {
		m := newQEMU(t, machine.Options{Args: []string{
			"-object", "memory-backend-memfd,id=memory,size=64M,share=on",
			"-machine", "pc,memory-backend=memory", "-S",
			"-chardev", "socket,id=disk,path=" + machine.Escape(s.path("vhost")),
			"-device", "vhost-user-blk-pci,id=disk0,chardev=disk",
		}})
		must(t, m.Launch(s.ctx)) // QEMU has read the disk's size
		must(t, syscall.Kill(m.Pid(), syscall.SIGKILL))
		if err := m.Shutdown(s.ctx); err == nil {
			t.Error("Shutdown of a process that was killed returns no error")
		}
	}
	exports, err := qapi.QueryBlockExports(s.ctx, s)
	if err != nil || len(exports) != 1 || exports[0].ID != "export" || exports[0].ShuttingDown {
		t.Errorf("the exports: %+v, %v", exports, err)
	}
	s.remove("export")
	must(t, s.Shutdown(s.ctx))
}

// A FUSE export is a file that can be written to, and can grow. The image has what was
// written.
func TestFUSEIsWrittenTo(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	s.needs(qapi.BlockExportTypeFUSE)
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		qemutest.Lacks(t, "FUSE needs /dev/fuse: %v", err)
	} else {
		f.Close()
	}
	file := s.path("mounted")
	add := &qapi.BlockExportOptions{
		ID: "export", NodeName: "disk", Writable: new(true),
		FUSE: &qapi.BlockExportOptionsFUSE{Mountpoint: file, Growable: new(true)},
	}
	refused(t, qapi.BlockExportAdd(s.ctx, s, add), "No such file or directory")
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, qapi.BlockExportAdd(s.ctx, s, add))

	f, err := os.OpenFile(file, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	first := make([]byte, 512)
	if _, err := f.ReadAt(first, 0); err != nil || !bytes.Equal(first, bytes.Repeat([]byte{0x5a}, 512)) {
		t.Errorf("read %x, %v", first[:8], err)
	}
	written := bytes.Repeat([]byte{0xa5}, 4096)
	if _, err := f.WriteAt(written, diskSize); err != nil { // past its end
		t.Errorf("write past the end: %v", err)
	}
	must(t, f.Sync())
	must(t, f.Close())
	nodes, err := qapi.QueryNamedBlockNodes(s.ctx, s, nil)
	if err != nil || len(nodes) != 1 || nodes[0].Image.VirtualSize != diskSize+4096 {
		t.Errorf("the nodes: %+v, %v, want one of %d bytes", nodes, err, diskSize+4096)
	}
	s.remove("export")
	if info, err := os.Stat(file); err != nil || info.Size() != 0 {
		t.Errorf("after the end of the export the file is %v, %v, want the empty one", info, err)
	}
	must(t, s.Shutdown(s.ctx))
	image, err := os.ReadFile(s.img)
	if err != nil || len(image) != diskSize+4096 || !bytes.Equal(image[diskSize:], written) {
		t.Errorf("the image has %d bytes, %v, want those that were written", len(image), err)
	}
}

// A machine goes on when the daemon that has its disk dies and is started again: with
// reconnect-delay the machine's requests wait for the new daemon.
func TestDaemonIsStartedAgain(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	serve := func() {
		t.Helper()
		must(t, qapi.NBDServerStart(s.ctx, s, &qapi.NBDServerOptionsLegacy{
			Addr: qapi.SocketAddressLegacy{Unix: &qapi.UnixSocketAddressWrapper{Data: qapi.UnixSocketAddress{Path: s.path("nbd")}}},
		}))
		must(t, qapi.BlockExportAdd(s.ctx, s, &qapi.BlockExportOptions{
			ID: "export", NodeName: "disk", Writable: new(true), NBD: &qapi.BlockExportOptionsNBD{},
		}))
	}
	serve()
	m := newQEMU(t, machine.Options{})
	must(t, m.Launch(s.ctx))
	must(t, qapi.BlockdevAdd(s.ctx, m, &qapi.BlockdevOptions{
		NodeName: new("disk"),
		NBD: &qapi.BlockdevOptionsNBD{
			Server:         qapi.SocketAddress{Unix: &qapi.UnixSocketAddress{Path: s.path("nbd")}},
			Export:         new("disk"),
			ReconnectDelay: new(uint32(60)), // seconds
		},
	}))
	io := func(line string) error {
		_, err := m.HMP(s.ctx, `qemu-io disk "`+line+`"`) // its result is in the machine's log
		return err
	}
	must(t, io("read -P 0x5a 0 64k"))

	must(t, syscall.Kill(s.Pid(), syscall.SIGKILL))
	if err := s.Shutdown(s.ctx); err == nil {
		t.Error("Shutdown of a process that was killed returns no error")
	}
	written := make(chan error, 1)
	go func() { written <- io("write -P 0xa5 0 64k") }()
	must(t, s.Launch(s.ctx))
	serve()
	must(t, <-written)
	must(t, m.Shutdown(s.ctx))
	must(t, s.Shutdown(s.ctx))
	for _, result := range []string{"read 65536/65536 bytes", "wrote 65536/65536 bytes"} {
		if !strings.Contains(m.Log(), result) {
			t.Errorf("the machine's log has no %q:\n%s", result, m.Log())
		}
	}
	if image, err := os.ReadFile(s.img); err != nil || image[0] != 0xa5 || image[64<<10] != 0x5a {
		t.Errorf("the image begins with %x, %v, want what was written", image[:4], err)
	}
}
