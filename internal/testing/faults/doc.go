// Package faults has the fault matrix: tests of what a client's callers see when
// something goes wrong. Each fault is run through the packages async, qmpsync and
// legacy. The package has no code except its tests.
//
// A run in which all faults pass compares the table in docs/guarantees.md with
// what it saw, and fails if they differ. With -update it writes the table
// instead.
package faults
