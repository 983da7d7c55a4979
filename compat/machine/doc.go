// Package machine starts, drives and stops a process of QEMU, or of its storage
// daemon, over QMP.
//
//	m := machine.New("qemu-system-x86_64", &machine.Options{
//		Args: []string{"-machine", "none"},
//	})
//	if err := m.Launch(ctx); err != nil {
//		return err
//	}
//	defer m.Kill()
//
//	status, err := m.Command(ctx, "query-status", nil)
//	if err != nil {
//		return err
//	}
//	fmt.Println(status)
//	return m.Shutdown(ctx)
//
// For the guest, Shutdown is a power failure. [Machine.PowerDown] presses the
// guest's power button first and waits until the guest has shut down.
//
// In a test, use [ForTest] instead of New: it shuts the machine down when the test
// ends.
//
// # Who may call what
//
// All methods of a [Machine] may be called concurrently, and any number of
// machines may run at once. The caller owns what a call returns. A call reads its
// arguments only until it returns. A machine is long-lived: after Shutdown or Kill
// it may be launched again, with the same command line. The exit status and the
// log of a process stay readable until the next Launch.
//
// # What is left
//
// After Shutdown or Kill has returned nothing is left: no process of the machine's
// process group, no socket, no directory.
//
// This program may also end without calling either, by a panic or a SIGKILL. On
// systems with a /bin/sh the machine has a small shell process that waits for that:
// it kills the process group and removes the directory. On Linux the kernel kills
// the process as well. The kernel does not do so if a wrapper changes the user, as
// setpriv does.
//
// A service whose machines must outlive it sets Options.Detached: see [State].
//
// # Traps
//
//   - Call Shutdown or Kill after Launch even if the process ends by itself: they
//     clean up. Wait only waits.
//   - Launch refuses the option -daemonize: it would watch a process that ends at
//     once.
//   - A wrapper may move the process to another process group, such as setsid does,
//     or timeout without --foreground. Then no signal of the machine's reaches it.
//   - The process inherits the monitor's descriptor. A wrapper that closes
//     descriptors, such as sudo, needs another Options.Monitor.
//   - This program may have inherited descriptors without close-on-exec. The process
//     and the shell process inherit them too. A program that is started with such
//     descriptors calls [syscall.CloseOnExec] for them first. What Go opens is never
//     inherited.
//   - Events that nobody takes stay in memory until the next Launch, or
//     [Machine.ClearEvents].
//   - A comma in the value of one of QEMU's options is written twice: [Escape].
//   - Windows has no SIGTERM: there Shutdown tries quit and then kills the process.
//     Launch fails there if a descriptor or the console's socket is asked for.
package machine
