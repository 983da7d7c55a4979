// Package qapi has QEMU's commands, events and types as Go functions and structs,
// generated from QEMU's schema (QAPI).
//
//	status, err := qapi.QueryStatus(ctx, c)
//	if err != nil {
//		return err
//	}
//	if status.Status == qapi.RunStatePaused {
//		err = qapi.Cont(ctx, c)
//	}
//
// c is any [async.Caller]: a client, a machine, or anything else that executes
// commands. Each function waits for the reply. Errors are those of
// [async.Client.Do]; if QEMU refuses the command, the error is an
// [*async.ExecuteError] with QEMU's class and description. All functions may be
// called concurrently. The package keeps no reference to the values that it takes and
// returns.
//
// The package follows the schema of QEMU 11.1. It also has the parts of the schema
// that a release from 7.2 on had and 11.1 no longer has; their comments say "removed
// in". Use it with all of these releases, and with later ones: members, values of
// enums and branches of unions that the package does not know are kept, and encode
// again unchanged. The method Unknown of every struct returns such members. A member is a pointer if it is optional in the schema, or if one of
// these releases does not have it.
//
// Names are QAPI's in Go's spelling. The command query-status is [QueryStatus], its
// result is [StatusInfo], and the event JOB_STATUS_CHANGE is [JobStatusChangeEvent]. If
// a type would have the name of a command's function, the type's name ends in Options,
// as in [BlockdevSnapshotOptions]. Set optional members with new: ReadOnly: new(true).
//
// # Size
//
// The package is large, and a program links only what it uses. A stripped program for
// Linux on amd64 that calls three small commands grows by 4 kB; with [BlockdevAdd] among
// them, whose argument has nearly all types of the block layer, by 170 kB. [Introspect]
// adds 45 kB, [Decode] 80, [Since] and [Checked] 205, and [Commands], which refers to every
// type, 1,050. Compiling the package takes 6 s of one processor, once. In the sources of
// this module, "make size" measures all this again.
package qapi
