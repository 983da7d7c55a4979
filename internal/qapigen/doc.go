// Package qapigen turns QAPI definitions into Go: one function per command, one
// struct per event, and the types that both use.
//
// A [Schema] is the model. [ReadFacts] makes one from the JSON files in the folder
// facts, and adds to it the parts that older releases have and the newest one does not.
// [Parse] makes one from QAPI schema files, in the form that QEMU's sources have.
// [Generate] returns the Go files.
package qapigen
