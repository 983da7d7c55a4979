// Package compat has the calls of QEMU's Python qmp module under the names of its
// newer generation: QEMU 8.2 and later, and release 0.0.6 of the qemu.qmp package.
// Package legacy has the same calls under the names of the older generation.
//
//	vm, err := compat.New("/run/vm1.qmp", nil)
//	if err != nil {
//		return err
//	}
//	defer vm.Close()
//	if _, err := vm.Connect(true); err != nil {
//		return err
//	}
//	status, err := vm.Cmd("query-status", nil)
//	if err != nil {
//		return err
//	}
//	fmt.Println(status.(map[string]any)["status"])
//
// Only these differ:
//
//	older generation         newer generation     older, in Go           newer, in Go
//
//	command(name, **args)    cmd(name, **args)    legacy: Command        compat: Cmd
//	cmd(name, args, id)      cmd_raw(name, args)  legacy: Cmd            compat: CmdRaw
//	-                        address: a socket    legacy.Options.Conn    compat.NewConn
//
// Package legacy documents everything else: what the calls return, their errors, and
// which of them may be called concurrently (all).
//
// # Migration
//
// A program can use the packages compat, legacy, qmpsync and async over one
// connection. A method of each returns the object of the next one, and a function
// does the reverse:
//
//	from compat to legacy    Legacy()    back: compat.Wrap
//	from legacy to qmpsync   Sync()      back: legacy.Wrap
//	from qmpsync to async    Async()     back: qmpsync.Wrap
//
// So a program can move from Python's names to contexts call by call, and works
// after every step: see the example.
//
// # Traps
//
//   - Cmd is not the same call here as in package legacy, as in Python's two
//     generations. The compiler tells them apart: Cmd returns an any here, and a map
//     there.
package compat
