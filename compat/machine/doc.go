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
// Shutdown is a power failure for the guest. [Machine.PowerDown] presses its power
// button first and waits until it has shut down.
//
// In a test, [ForTest] takes the place of New and sees to the end.
//
// # Who may call what
//
// All methods of a [Machine] may be called concurrently, and any number of
// machines may run at once. What a call returns is the caller's own. Arguments are
// read until the call returns. A machine is long-lived: after Shutdown or Kill it
// may be launched again, with the same command line. What a process leaves, such
// as its exit status and its log, stays readable until the next Launch.
//
// # What is left
//
// Nothing, once Shutdown or Kill has returned: no process of the machine's
// process group, no socket, no directory. If this program ends without calling
// either, by a panic or a SIGKILL, a small shell process that was waiting for
// that does the same (systems with a /bin/sh), and on Linux the kernel kills the
// process as well. A wrapper that changes the user, such as setpriv, loses that
// help of the kernel.
//
// A service whose machines are to outlive it sets Options.Detached: see [State].
//
// # Traps
//
//   - Launch needs its Shutdown or Kill even if the process ends by itself: they
//     collect it. Wait only waits.
//   - The option -daemonize is refused: the process to be watched would be gone.
//   - A wrapper that moves the process to a process group of its own, such as
//     setsid, or timeout without --foreground, takes it out of reach of signals.
//   - The monitor's descriptor is inherited. A wrapper that closes descriptors,
//     such as sudo, needs another Options.Monitor.
//   - The process and the shell process also inherit each descriptor that this
//     program has inherited without close-on-exec. A program that is started with
//     such descriptors calls [syscall.CloseOnExec] for them first. What Go opens
//     is never inherited.
//   - Events that nobody takes stay in memory until the next Launch, or
//     [Machine.ClearEvents].
//   - A comma in the value of an option of QEMU's is written twice: [Escape].
//   - Windows has no SIGTERM: there Shutdown goes from quit to the hard end, and
//     descriptors and the console's socket are refused by Launch.
package machine
