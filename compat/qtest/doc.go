// Package qtest speaks the qtest protocol, over which a test plays the guest's
// part: it reads and writes memory and ports, and sees interrupts (QEMU's manual,
// "QTest Device Emulation Testing Framework"). There need be no guest.
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
// With -qtest unix:PATH,server=on,wait=off it is QEMU that listens: use [Dial]
// then.
//
// The option -qtest works with every accelerator. Only with QEMU's own for this
// purpose, -accel qtest, the guest's processor and clock stand still, and there
// are commands for the clock. Builds of some distributors lack it: start such a
// QEMU with -S, which keeps the processor from running, and do without the clock.
// Its refusal matches errors.ErrUnsupported.
//
// # Who may call what
//
// All methods of a [Client] may be called concurrently. QEMU executes one command
// after another, in the order in which the calls were made. A context that ends
// ends that call, and no other.
//
// # Traps
//
// QEMU trusts its tester: arguments that make no sense end it with an assertion
// that failed. What can be told here is refused before it is sent
// ([ArgumentError]); what cannot, ends in an [InterruptedError]:
//
//   - any memory access with -machine none;
//   - [Client.SetIRQIn] with a name or number of an input that the device lacks;
//   - a read of more memory than QEMU can allocate.
package qtest
