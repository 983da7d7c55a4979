//go:build pybridge

package main

/*
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
*/
import "C"

import (
	"unsafe"

	"github.com/goqmp/qmp/internal/pybridge"
)

// bridge has the objects and calls of this process.
var bridge pybridge.Bridge

// goqmp_start begins a request and returns its ticket. When its result can be taken,
// 8 bytes are written to the descriptor fd: the ticket, in the machine's byte order.
// fd stays open until then. goqmp_start does not wait.
//
//export goqmp_start
func goqmp_start(text *C.char, size C.size_t, fd C.int) C.uint64_t {
	// The caller may reuse its memory when this function returns.
	request := C.GoBytes(unsafe.Pointer(text), C.int(size))
	return C.uint64_t(bridge.Start(request, func(ticket uint64) { notify(int(fd), ticket) }))
}

// goqmp_take returns the result of a call, which the caller gives back to goqmp_free,
// and writes its size. It waits for the call if that is not over. The ticket is not
// valid after it; for a ticket that is not valid the result is NULL.
//
//export goqmp_take
func goqmp_take(ticket C.uint64_t, size *C.size_t) *C.char {
	result := bridge.Take(uint64(ticket))
	if result == nil {
		return nil
	}
	*size = C.size_t(len(result))
	return (*C.char)(C.CBytes(result))
}

// goqmp_cancel ends a call early. Its ticket is written and its result has to be taken
// as for every call.
//
//export goqmp_cancel
func goqmp_cancel(ticket C.uint64_t) { bridge.Cancel(uint64(ticket)) }

// goqmp_free frees a result.
//
//export goqmp_free
func goqmp_free(result *C.char) { C.free(unsafe.Pointer(result)) }

// goqmp_count writes how many objects, calls and goroutines there are, for tests.
//
//export goqmp_count
func goqmp_count(objects, calls, goroutines *C.size_t) {
	o, c := bridge.Len()
	*objects, *calls, *goroutines = C.size_t(o), C.size_t(c), C.size_t(count())
}
