// Package qemujson reads JSON as QEMU's monitor reads it from its clients, for servers
// that stand in for QEMU. It takes what QEMU takes, also what is not JSON: strings in
// single quotes. It refuses what QEMU refuses, in the same words, and goes on after a
// fault where QEMU goes on.
//
// QEMU reads in three steps, and so does this package. A scanner cuts the bytes into
// tokens. The tokens of a message are collected until its brackets are closed. Then the
// message is parsed. What each step does was found by sending bytes to QEMU 5.2, 7.2, 10.0
// and 11.1, and tests compare the package with real ones.
package qemujson
