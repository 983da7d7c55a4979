package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goqmp/qmp/internal/harmless"
)

// FS returns a file system for the tree of files below the guest's folder root, such as
// "/". It is an [fs.FS], [fs.StatFS], [fs.ReadDirFS] and [fs.ReadFileFS]. ctx limits
// everything that is done with it and with its files.
//
// The agent can only open files, so a shell and the program stat in the guest do the rest.
// If the agent does not execute programs, or the guest does not have these two, only
// [fs.ReadFile] works. The error of everything else matches errors.ErrUnsupported then.
// What is neither a regular file nor a folder is not opened: the agent never waits for data,
// so it cannot read a named pipe or a terminal as one expects.
func (c *Client) FS(ctx context.Context, root string) fs.FS { return &guestFS{c, ctx, root} }

type guestFS struct {
	client *Client
	ctx    context.Context
	root   string
}

var (
	_ fs.StatFS     = (*guestFS)(nil)
	_ fs.ReadDirFS  = (*guestFS)(nil)
	_ fs.ReadFileFS = (*guestFS)(nil)
)

// full returns the name in the guest of the file name.
func (g *guestFS) full(op, name string) (string, error) {
	if !fs.ValidPath(name) || strings.Contains(name, "\x00") {
		return "", newPathError(op, name, fs.ErrInvalid)
	}
	return path.Join(g.root, name), nil
}

// Open opens a file or a folder.
func (g *guestFS) Open(name string) (fs.File, error) {
	info, err := g.stat("open", name)
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		return &folder{fsys: g, name: name, info: info}, nil
	case !info.Mode().IsRegular():
		return nil, newPathError("open", name, fmt.Errorf("not a regular file, but %v: %w", info.Mode(), errors.ErrUnsupported))
	}
	full, err := g.full("open", name)
	if err != nil {
		return nil, err
	}
	f, err := g.client.Open(g.ctx, full)
	if err != nil {
		return nil, err
	}
	return &openFile{File: f, fsys: g, name: name}, nil
}

// ReadFile reads a whole file.
func (g *guestFS) ReadFile(name string) ([]byte, error) {
	full, err := g.full("open", name)
	if err != nil {
		return nil, err
	}
	f, err := g.client.Open(g.ctx, full)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var buf bytes.Buffer
	_, err = f.WriteTo(&buf)
	return buf.Bytes(), err
}

// Stat returns what is known of a file. It follows symbolic links.
func (g *guestFS) Stat(name string) (fs.FileInfo, error) { return g.stat("stat", name) }

func (g *guestFS) stat(op, name string) (fs.FileInfo, error) {
	full, err := g.full(op, name)
	if err != nil {
		return nil, err
	}
	out, err := g.run(op, name, `stat -L -c "%f %s %Y" -- "$0"`, full)
	if err != nil {
		return nil, err
	}
	info, err := parseStat(path.Base(name), string(out))
	if err != nil {
		return nil, newPathError(op, name, err)
	}
	return info, nil
}

// list prints, for each entry of the folder $0, a line of stat and the name with a zero
// byte after it. Some shells do not say why cd has failed, but stat does.
const list = `if ! cd -- "$0" 2>/dev/null; then
	stat -- "$0/." >/dev/null
	exit 1
fi
for name in * .[!.]* ..?*; do
	if [ -e "$name" ] || [ -L "$name" ]; then
		stat -c "%f %s %Y" -- "$name" && printf '%s\0' "$name"
	fi
done
exit 0`

// ReadDir returns the entries of a folder, sorted by name.
func (g *guestFS) ReadDir(name string) ([]fs.DirEntry, error) {
	full, err := g.full("readdir", name)
	if err != nil {
		return nil, err
	}
	out, err := g.run("readdir", name, list, full)
	if err != nil {
		return nil, err
	}
	var entries []fs.DirEntry
	for entry := range bytes.SplitSeq(out, []byte{0}) {
		line, base, ok := strings.Cut(string(entry), "\n")
		if !ok {
			continue // after the last one
		}
		info, err := parseStat(base, line)
		if err != nil {
			return nil, newPathError("readdir", name, err)
		}
		entries = append(entries, fs.FileInfoToDirEntry(info))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// run executes a script in the guest, with arg as $0.
func (g *guestFS) run(op, name, script, arg string) ([]byte, error) {
	cmd := g.client.Command(g.ctx, "/bin/sh", "-c", script, arg)
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	exit, exited := errors.AsType[*ExitError](err)
	_, disabled := errors.AsType[*DisabledError](err)
	switch {
	case disabled, cmd.PID() == 0 && errors.Is(guestError(err), fs.ErrNotExist): // no /bin/sh
		err = &unsupported{err}
	case exited:
		words := strings.TrimSpace(string(exit.Stderr))
		err = fmt.Errorf("%w: %s", err, harmless.Line(words))
		if kind := kindOf(words); kind != nil {
			err = &systemError{err: err, kind: kind}
		} else if exit.Code == 127 { // the shell has not found stat
			err = &unsupported{err}
		}
	}
	return nil, newPathError(op, name, err)
}

// unsupported is an error that matches errors.ErrUnsupported.
type unsupported struct{ err error }

func (e *unsupported) Error() string   { return "the guest agent cannot do this: " + e.err.Error() }
func (e *unsupported) Unwrap() []error { return []error{e.err, errors.ErrUnsupported} }

// A fileInfo is a line of stat.
type fileInfo struct {
	name string
	mode fs.FileMode
	size int64
	time time.Time
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return i.size }
func (i *fileInfo) Mode() fs.FileMode  { return i.mode }
func (i *fileInfo) ModTime() time.Time { return i.time }
func (i *fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i *fileInfo) Sys() any           { return nil }
func (i *fileInfo) String() string     { return fs.FormatFileInfo(i) }

// parseStat reads a line of stat: the mode in hexadecimal, the size, and the time of the
// last change in seconds.
func parseStat(name, line string) (*fileInfo, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return nil, fmt.Errorf("the guest's stat printed %q", line)
	}
	mode, err1 := strconv.ParseUint(fields[0], 16, 32)
	size, err2 := strconv.ParseInt(fields[1], 10, 64)
	seconds, err3 := strconv.ParseInt(fields[2], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("the guest's stat printed %q: %w", line, err)
	}
	return &fileInfo{name: name, mode: fileMode(uint32(mode)), size: size, time: time.Unix(seconds, 0)}, nil
}

// fileMode returns a mode of inode(7) as Go has it.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	switch mode & 0o170000 {
	case 0o040000:
		m |= fs.ModeDir
	case 0o120000:
		m |= fs.ModeSymlink
	case 0o010000:
		m |= fs.ModeNamedPipe
	case 0o140000:
		m |= fs.ModeSocket
	case 0o060000:
		m |= fs.ModeDevice
	case 0o020000:
		m |= fs.ModeDevice | fs.ModeCharDevice
	}
	for _, bit := range []struct {
		in  uint32
		out fs.FileMode
	}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}} {
		if mode&bit.in != 0 {
			m |= bit.out
		}
	}
	return m
}

// An openFile is a file that guestFS has opened.
type openFile struct {
	*File
	fsys *guestFS
	name string // in fsys
}

func (f *openFile) Stat() (fs.FileInfo, error) {
	if f.isClosed() {
		return nil, newPathError("stat", f.name, fs.ErrClosed)
	}
	return f.fsys.Stat(f.name)
}

// A folder is a folder that guestFS has opened.
type folder struct {
	fsys    *guestFS
	name    string // in fsys
	info    fs.FileInfo
	entries []fs.DirEntry // those that ReadDir has not returned yet
	listed  bool
	closed  bool
}

func (d *folder) Stat() (fs.FileInfo, error) {
	if d.closed {
		return nil, newPathError("stat", d.name, fs.ErrClosed)
	}
	return d.info, nil
}

func (d *folder) Read([]byte) (int, error) {
	return 0, newPathError("read", d.name, errors.New("is a folder"))
}

func (d *folder) Close() error {
	if d.closed {
		return newPathError("close", d.name, fs.ErrClosed)
	}
	d.closed = true
	return nil
}

// ReadDir implements [fs.ReadDirFile].
func (d *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	if d.closed {
		return nil, newPathError("readdir", d.name, fs.ErrClosed)
	}
	if !d.listed {
		entries, err := d.fsys.ReadDir(d.name)
		if err != nil {
			return nil, err
		}
		d.entries, d.listed = entries, true
	}
	if n <= 0 {
		n = len(d.entries)
	} else if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	some := d.entries[:n:n]
	d.entries = d.entries[n:]
	return some, nil
}
