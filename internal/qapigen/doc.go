// Package qapigen turns QAPI definitions into Go: one function per command, one
// struct per event, and the types that both use.
//
// A [Schema] is the model. [ReadFacts] fills it from the JSON facts in the folder
// facts, [Parse] from QAPI schema files as QEMU's sources have them. [Merge] adds
// what older releases had and the newest one has lost. [Generate] writes the Go
// files.
package qapigen
