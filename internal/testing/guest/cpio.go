package guest

import (
	"bytes"
	"fmt"
	"path"
)

// The kinds of files in an archive, as in inode(7).
const (
	kindFolder = 0o040000
	kindFile   = 0o100000
)

// An archive is a cpio archive in the format "newc", which the kernel unpacks (see
// driver-api/early-userspace/buffer-format in the kernel's documentation).
type archive struct {
	buf     bytes.Buffer
	entries int
	folders map[string]bool
}

// add adds an executable file, and the folders that it is in.
func (a *archive) add(name string, content []byte) {
	a.folder(path.Dir(name))
	a.entry(name, kindFile|0o755, content)
}

// folder adds a folder, and the folders that it is in, unless it has been added.
func (a *archive) folder(name string) {
	if name == "." || a.folders[name] {
		return
	}
	a.folder(path.Dir(name))
	if a.folders == nil {
		a.folders = make(map[string]bool)
	}
	a.folders[name] = true
	a.entry(name, kindFolder|0o755, nil)
}

// entry adds one entry.
func (a *archive) entry(name string, mode int, content []byte) {
	a.entries++
	// The fields: inode, mode, owner, group, links, time, size, two device numbers
	// (each major and minor), the size of the name with its zero byte, and a checksum
	// that is not used.
	fmt.Fprintf(&a.buf, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.entries, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	a.buf.WriteString(name + "\x00")
	a.pad()
	a.buf.Write(content)
	a.pad()
}

// pad adds zero bytes up to a multiple of four bytes.
func (a *archive) pad() {
	for a.buf.Len()%4 != 0 {
		a.buf.WriteByte(0)
	}
}

// finish returns the whole archive.
func (a *archive) finish() []byte {
	a.entry("TRAILER!!!", 0, nil)
	return a.buf.Bytes()
}
