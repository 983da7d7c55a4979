package iotests

import (
	"fmt"
	"sort"
)

// A Bitmap is a dirty bitmap, as its node tells of it.
type Bitmap struct {
	Name         string
	Count        int64 // of dirty bytes
	Granularity  int64
	Recording    bool
	Busy         bool // in use by a job or an export
	Persistent   bool // stored in the image
	Inconsistent bool // it was in use when its image was last written
}

// Bitmaps returns the bitmaps of all nodes that have some, by the nodes'
// names.
func (vm *VM) Bitmaps() map[string][]Bitmap {
	vm.it.Helper()
	all := make(map[string][]Bitmap)
	for _, node := range vm.nodes() {
		if _, ok := node["dirty-bitmaps"]; !ok {
			continue
		}
		bitmaps := Get[[]Bitmap](vm.it, node, "dirty-bitmaps")
		sort.Slice(bitmaps, func(i, j int) bool { return bitmaps[i].Name < bitmaps[j].Name })
		if len(bitmaps) > 0 {
			all[Get[string](vm.it, node, "node-name")] = bitmaps
		}
	}
	return all
}

// FindBitmap returns the bitmap of that name on that node, if there is one.
func (vm *VM) FindBitmap(node, name string) (bitmap Bitmap, exists bool) {
	vm.it.Helper()
	for _, b := range vm.Bitmaps()[node] {
		if b.Name == name {
			return b, true
		}
	}
	return Bitmap{}, false
}

// Bitmap is FindBitmap for one that has to be there.
func (vm *VM) Bitmap(node, name string) Bitmap {
	vm.it.Helper()
	bitmap, exists := vm.FindBitmap(node, name)
	if !exists {
		vm.fail("no bitmap "+name+" on "+node, "bitmaps", FormatJSON(vm.Bitmaps()))
	}
	return bitmap
}

// AssertBitmapCount fails the test unless so many bytes are dirty in a bitmap.
func (vm *VM) AssertBitmapCount(node, name string, want int64) {
	vm.it.Helper()
	if b := vm.Bitmap(node, name); b.Count != want {
		vm.fail(fmt.Sprintf("the bitmap %s on %s has %d bytes dirty, not %d", name, node, b.Count, want), "bitmap", FormatJSON(b))
	}
}

// AddBitmap adds a dirty bitmap to a node. options, such as
// Dict{"persistent": true}, may be nil.
func (vm *VM) AddBitmap(node, name string, options Dict) {
	vm.it.Helper()
	args := Dict{"node": node, "name": name}
	for option, value := range options {
		args[option] = value
	}
	vm.Cmd("block-dirty-bitmap-add", args)
}
