// Package qtest is a client of QEMU's qtest protocol. With it a test takes the place
// of the guest's processor: it reads and writes memory and ports, and gets interrupts.
// The machine needs no guest. The protocol is described in QEMU's manual, "QTest
// Device Emulation Testing Framework".
//
//	l, err := qtest.Listen("unix:" + path) // QEMU is given -qtest unix:PATH -qtest-log none
//	if err != nil {
//		return err
//	}
//	defer l.Close()
//	// ... start QEMU, then:
//	q, err := l.Accept(ctx)
//	if err != nil {
//		return err
//	}
//	defer q.Close()
//
//	if err := q.InterceptIn(ctx, "ioapic"); err != nil {
//		return err
//	}
//	if err := q.OutB(ctx, 0x3f9, 2); err != nil { // the first serial port has nothing to send
//		return err
//	}
//	irq, err := q.NextIRQ(ctx) // {Num: 4, Raised: true}
//
// With -qtest unix:PATH,server=on,wait=off QEMU listens: use [Dial] then.
//
// # Accelerators
//
// The option -qtest works with every accelerator. QEMU has one for this purpose, -accel
// qtest: only with that the guest's processor and clock do not run, and only then the
// clock methods work, such as [Client.ClockStep]. Otherwise their error matches
// errors.ErrUnsupported. Some distributions build QEMU without it. Start such a QEMU
// with -S, so that the processor does not run.
//
// # Who may call what
//
// All methods of a [Client] may be called concurrently. QEMU executes one command
// after another, in the order in which the calls were made. When a context ends, only
// the call that has this context ends.
//
// # Traps
//
// QEMU does not check what a tester asks for: some arguments make it abort. The client
// knows some of them and does not send them: the error is an [ArgumentError]. It does
// not know the following ones. QEMU aborts, and the call's error is an
// [InterruptedError]:
//
//   - any memory access with -machine none;
//   - [Client.SetIRQIn] with a name or number of an input that the device lacks;
//   - a read of more memory than QEMU can allocate.
package qtest
