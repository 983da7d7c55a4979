package mux

import "os"

// descriptors are what a user has sent, until a command takes them. As in QEMU, newer ones
// replace older ones.
type descriptors struct{ files []*os.File }

// arrived replaces what is held.
func (d *descriptors) arrived(files []*os.File) {
	d.drop()
	d.files = files
}

// take returns what is held. The caller closes it.
func (d *descriptors) take() []*os.File {
	files := d.files
	d.files = nil
	return files
}

func (d *descriptors) drop() { closeFiles(d.take()) }

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
