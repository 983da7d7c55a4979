package iotests

import (
	"fmt"
	"sort"
)

// A Bitmap is a dirty bitmap, as query-named-block-nodes describes it.
type Bitmap struct {
	Name         string
	Count        int64 // dirty bytes
	Granularity  int64 // bytes per bit
	Recording    bool  // writes make it dirty
	Busy         bool  // a job or an export uses it
	Persistent   bool  // QEMU stores it in the image
	Inconsistent bool  // QEMU did not store it properly, so it can only be removed
}

// Bitmaps returns the bitmaps of each node that has any. The key is the node's
// name; the bitmaps of a node are sorted by name.
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

// FindBitmap returns the bitmap of the given name on the given node, if it exists.
func (vm *VM) FindBitmap(node, name string) (bitmap Bitmap, exists bool) {
	vm.it.Helper()
	for _, b := range vm.Bitmaps()[node] {
		if b.Name == name {
			return b, true
		}
	}
	return Bitmap{}, false
}

// Bitmap returns the bitmap of the given name on the given node. If it does not
// exist, the test fails.
func (vm *VM) Bitmap(node, name string) Bitmap {
	vm.it.Helper()
	bitmap, exists := vm.FindBitmap(node, name)
	if !exists {
		vm.fail("no bitmap "+name+" on "+node, "bitmaps", FormatJSON(vm.Bitmaps()))
	}
	return bitmap
}

// AssertBitmapCount fails the test unless exactly want bytes are dirty in a bitmap.
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
