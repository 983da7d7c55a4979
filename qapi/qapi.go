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
// c is any [async.Caller]: a client, a machine, or what else executes commands.
// Functions wait for the reply; errors are those of [async.Client.Do], and an
// [*async.ExecuteError] with QEMU's class and description where QEMU refuses.
// Everything may be called concurrently; the values belong to whoever has them.
//
// It follows QEMU 11.1, and has what QEMU 7.2 and later had and 11.1 has lost,
// marked "removed in". Use it with each of these releases, and with those to come:
// members, values of enums and branches of unions that it does not know are kept,
// and encode again as they were. A member is a pointer where the schema has it as
// optional, or where one of these releases does not have it.
//
// Names are QAPI's in Go's spelling: query-status is [QueryStatus], its result
// [StatusInfo], the event JOB_STATUS_CHANGE [JobStatusChangeEvent]. A few types
// whose name a command has taken end in Options, such as
// [BlockdevSnapshotOptions]. Optional members are set with new:
// ReadOnly: new(true).
package qapi

//go:generate go run github.com/goqmp/qmp/cmd/qmp-gen -facts qemu -o .
