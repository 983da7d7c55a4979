//go:build unix

package agent_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

func TestFile_QEMU(t *testing.T) {
	t.Parallel()
	ctx, a := dialReal(t)
	name := filepath.Join(qemutest.Dir(t), "file")
	f, err := a.Create(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("0123456789"), 150_000)
	if n, err := f.ReadFrom(bytes.NewReader(text)); n != 1_500_000 || err != nil {
		t.Errorf("ReadFrom: %d, %v", n, err)
	}
	if err := f.Sync(); err != nil {
		t.Error(err)
	}
	if n, err := f.Seek(-3, io.SeekCurrent); n != 1_499_997 || err != nil {
		t.Errorf("Seek: %d, %v", n, err)
	}
	if n, err := io.WriteString(f, "abc"); n != 3 || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
	if _, err := f.Read(make([]byte, 1)); err == nil {
		t.Error("Read of a file that was opened for writing")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"Close": f.Close(), "Sync": f.Sync(), "Write": second(f.Write([]byte("x"))), "Read": second(f.Read(make([]byte, 1))), "Seek": second(f.Seek(0, 0)),
	} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
	copy(text[len(text)-3:], "abc")
	if b, err := os.ReadFile(name); err != nil || !bytes.Equal(b, text) {
		t.Errorf("the file has %d bytes, %v", len(b), err)
	}

	if f, err = a.Open(ctx, name); err != nil || f.Name() != name {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if n, err := io.Copy(&got, f); n != 1_500_000 || err != nil || !bytes.Equal(got.Bytes(), text) {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
	if n, err := f.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read at the end: %d, %v", n, err)
	}
	// The file grows.
	more, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	if _, err := more.WriteString("more"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if n, err := f.Read(b); string(b[:n]) != "more" || err != nil {
		t.Errorf("Read of a file that has grown: %q, %v", b[:n], err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}

	_, err = a.Open(ctx, name+"2")
	if e, ok := errors.AsType[*fs.PathError](err); !ok || !errors.Is(err, fs.ErrNotExist) || e.Op != "open" {
		t.Errorf("no such file: %v", err)
	}
}

func TestFS_QEMU(t *testing.T) {
	t.Parallel()
	ctx, a := dialReal(t)
	dir := qemutest.Dir(t)
	odd := "-a 'b'\n\"c\" $d *"
	for name, text := range map[string]string{"a": "text", "sub/b": "", "sub/.hidden": "x", "..odd": "y", odd: "z"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	fsys := a.FS(ctx, dir)
	if err := fstest.TestFS(fsys, "a", "sub/b", "sub/.hidden", "..odd", odd); err != nil {
		t.Error(err)
	}

	if err := os.Symlink("nowhere", filepath.Join(dir, "sub", "link")); err != nil {
		t.Fatal(err)
	}
	entries, err := fs.ReadDir(fsys, "sub")
	if err != nil || len(entries) != 3 || entries[2].Type() != fs.ModeSymlink {
		t.Errorf("entries: %v, %v", entries, err)
	}
	_, err = fs.Stat(fsys, "sub/link")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to nowhere: %v", err)
	}
	if _, err := fs.ReadDir(fsys, "nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such folder: %v", err)
	}
	if _, err := fs.ReadFile(fsys, "../a"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("not a path of package fs: %v", err)
	}
	if _, err := fs.ReadFile(fsys, "nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
	if _, err := a.FS(ctx, "/dev").Open("null"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a device: %v", err)
	}
	info, err := fs.Stat(a.FS(ctx, "/"), "tmp")
	if err != nil || info.Mode() != fs.ModeDir|fs.ModeSticky|0o777 {
		t.Errorf("/tmp: %v, %v", info, err)
	}
}

// Without guest-exec only whole files can be read.
func TestFSWithoutExec_QEMU(t *testing.T) {
	t.Parallel()
	ctx, a := dialReal(t, "guest-exec")
	dir := qemutest.Dir(t)
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	fsys := a.FS(ctx, dir)
	if b, err := fs.ReadFile(fsys, "a"); string(b) != "text" || err != nil {
		t.Errorf("ReadFile: %q, %v", b, err)
	}
	for what, err := range map[string]error{
		"Open": second(fsys.Open("a")), "Stat": second(fs.Stat(fsys, "a")), "ReadDir": second(fs.ReadDir(fsys, ".")),
	} {
		_, disabled := errors.AsType[*agent.DisabledError](err)
		if !errors.Is(err, errors.ErrUnsupported) || !disabled {
			t.Errorf("%s: %v", what, err)
		}
	}
	var out bytes.Buffer
	copied, err := a.CopyOut(ctx, &writerAt{&out}, filepath.Join(dir, "a"), &agent.CopyOptions{Parallel: 1})
	if err != nil || copied.Checked || out.String() != "text" {
		t.Errorf("CopyOut: %+v, %v", copied, err)
	}
}

// writerAt writes in order.
type writerAt struct{ *bytes.Buffer }

func (w *writerAt) WriteAt(b []byte, at int64) (int, error) {
	if at != int64(w.Len()) {
		return 0, errors.New("not in order")
	}
	return w.Write(b)
}

func TestCopy_QEMU(t *testing.T) {
	t.Parallel()
	ctx, a := dialReal(t)
	dir := qemutest.Dir(t)
	for _, size := range []int{0, 1, 1 << 20, 2<<20 + 17} {
		text := make([]byte, size)
		r := rand.NewChaCha8([32]byte{1})
		_, _ = r.Read(text)
		name := filepath.Join(dir, "in the guest")
		copied, err := a.CopyIn(ctx, name, bytes.NewReader(text), int64(size), nil)
		if want := (agent.Copied{Size: int64(size), SHA256: sha256.Sum256(text), Checked: true}); err != nil || copied != want {
			t.Errorf("CopyIn %d: %+v, %v", size, copied, err)
		}
		if b, err := os.ReadFile(name); err != nil || !bytes.Equal(b, text) {
			t.Errorf("CopyIn %d: the file has %d bytes, %v", size, len(b), err)
		}
		back, err := os.Create(filepath.Join(dir, "back"))
		if err != nil {
			t.Fatal(err)
		}
		copied, err = a.CopyOut(ctx, back, name, nil)
		if want := (agent.Copied{Size: int64(size), SHA256: sha256.Sum256(text), Checked: true}); err != nil || copied != want {
			t.Errorf("CopyOut %d: %+v, %v", size, copied, err)
		}
		back.Close()
		if b, err := os.ReadFile(back.Name()); err != nil || !bytes.Equal(b, text) {
			t.Errorf("CopyOut %d: the file has %d bytes, %v", size, len(b), err)
		}
	}
	if _, err := a.CopyOut(ctx, nil, filepath.Join(dir, "nowhere"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
	if _, err := a.CopyIn(ctx, filepath.Join(dir, "nowhere/x"), nil, 1, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such folder: %v", err)
	}
	if _, err := a.CopyIn(ctx, filepath.Join(dir, "short"), bytes.NewReader(make([]byte, 10)), 3<<20, nil); !errors.Is(err, io.EOF) {
		t.Errorf("a source that is too short: %v", err)
	}
}
