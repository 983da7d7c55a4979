// Package compat has the calls of QEMU's Python qmp module by the names of its
// newer generation (QEMU 8.2 and later, and release 0.0.6 of the qemu.qmp
// package), where package legacy has those of the older one.
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
// All else, what calls return and what goes wrong, is as package legacy says, and
// so is who may call what at once.
//
// # Migration
//
// One connection serves all floors, and each is one call away from the next, down
// by a method and up by a function:
//
//	down:  compat's Legacy()   legacy's Sync()   qmpsync's Async()
//	up:    compat.Wrap         legacy.Wrap       qmpsync.Wrap
//
// So a program moves from Python's names to contexts call by call, and each step
// runs: see the example.
//
// # Traps
//
//   - Cmd means one thing here and another in package legacy, as in Python. The
//     compiler tells them apart: one returns any, the other a map.
package compat
