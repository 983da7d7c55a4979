// Package faults holds the fault matrix: tests of what a client's callers see when
// something goes wrong, each run through the packages async, qmpsync and legacy
// alike. It has no code of its own.
//
// A run that has passed compares the table in docs/guarantees.md with what it
// saw. Where they differ it writes the table anew and fails, so that the page
// cannot drift from the code.
package faults
