// Package record writes what happens on QMP connections to a file, and reads it back: a
// failure that was recorded with QEMU can be looked at, and played to a client without
// QEMU.
//
//	rec, err := record.Create("vm1.qmp.jsonl", nil)
//	if err != nil {
//		return err
//	}
//	defer rec.Close()
//	vm := async.New(&async.Options{Tracers: []*async.Tracer{rec.Tracer("vm1")}})
//
// A test plays the file by qmptest.ReplayFile, in a bubble of testing/synctest; a program
// by [Serve].
package record
