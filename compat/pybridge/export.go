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

// goqmp_number returns a number for a call or an object.
//
//export goqmp_number
func goqmp_number() C.uint64_t { return C.uint64_t(bridge.Number()) }

// goqmp_start begins a request. When its result is there, 8 bytes are written to the
// descriptor fd: the number, in the machine's byte order. The caller closes fd by
// goqmp_discard. goqmp_start does not wait.
//
//export goqmp_start
func goqmp_start(number C.uint64_t, text *C.char, size C.size_t, fd C.int) {
	// The caller may reuse its memory when this function returns.
	request := C.GoBytes(unsafe.Pointer(text), C.int(size))
	bridge.Start(uint64(number), request, func() { notify(int(fd), uint64(number)) })
}

// goqmp_result returns the result of a call, which the caller gives back to goqmp_free,
// and writes its size. It waits for the call if that is not over. If there is no such
// call, the result is NULL.
//
//export goqmp_result
func goqmp_result(number C.uint64_t, size *C.size_t) *C.char {
	result := bridge.Result(uint64(number))
	*size = C.size_t(len(result))
	if result == nil {
		return nil
	}
	return (*C.char)(C.CBytes(result))
}

// goqmp_cancel ends a call early. It has a result after that, too.
//
//export goqmp_cancel
func goqmp_cancel(number C.uint64_t) { bridge.Cancel(uint64(number)) }

// goqmp_forget forgets a call, and cancels it if it is not over.
//
//export goqmp_forget
func goqmp_forget(number C.uint64_t) { bridge.Forget(uint64(number)) }

// goqmp_discard forgets a call, if there is one, and closes the two descriptors of a
// pipe when that call is over. If they were closed earlier, and their numbers were given
// to something else, the 8 bytes of goqmp_start would be written there: to the
// connection of a QEMU, for example.
//
//export goqmp_discard
func goqmp_discard(number C.uint64_t, read, write C.int) {
	done := bridge.Forget(uint64(number))
	if done == nil {
		closeAll(int(read), int(write))
		return
	}
	go func() {
		<-done
		closeAll(int(read), int(write))
	}()
}

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
