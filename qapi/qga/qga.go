// Package qga has the commands and types of the QEMU guest agent (qemu-ga) as Go
// functions and structs, generated from its schema (QAPI).
//
//	info, err := qga.GuestInfo(ctx, c)
//
// The agent does not greet and does not negotiate: connect with
// async.Options.SkipGreeting and async.Options.SkipNegotiation. All else is as in package
// [github.com/goqmp/qmp/qapi].
package qga
