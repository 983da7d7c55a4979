package qtest_test

// Tests of a Client with a real QEMU.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/qtest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// start starts a PC whose processor does not run, and connects to it.
func start(t *testing.T) (*qemutest.Process, *qtest.Client) {
	t.Helper()
	dir := qemutest.Dir(t)
	l, err := qtest.Listen("unix:" + dir + "/qtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	qemu := qemutest.Start(t, qemutest.Command{
		Program: qemutest.QEMU, Dir: dir,
		Args: []string{
			"-machine", "pc", "-S", "-nodefaults", "-display", "none", "-serial", "null",
			"-qtest", "unix:qtest", "-qtest-log", "none",
		},
	})
	q, err := l.Accept(qemutest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return qemu, q
}

func TestMemoryOfQEMU(t *testing.T) {
	t.Parallel()
	_, q := start(t)
	ctx := qemutest.Context(t)

	const addr = 0x100000
	must(t, q.WriteQ(ctx, addr, 0xfedcba9876543210))
	b, err := q.ReadB(ctx, addr)
	is(t, b, 0x10, err)
	w, err := q.ReadW(ctx, addr)
	is(t, w, 0x3210, err)
	l, err := q.ReadL(ctx, addr)
	is(t, l, 0x76543210, err)
	v, err := q.ReadQ(ctx, addr)
	is(t, v, 0xfedcba9876543210, err)

	must(t, q.WriteL(ctx, addr, 0x11223344))
	must(t, q.WriteW(ctx, addr, 0x5566))
	must(t, q.WriteB(ctx, addr, 0x77))
	v, err = q.ReadQ(ctx, addr)
	is(t, v, 0xfedcba9811225577, err)

	order, err := q.ByteOrder(ctx)
	is(t, order, binary.ByteOrder(binary.LittleEndian), err)

	// The size is not a multiple of the size of a piece.
	random := rand.NewChaCha8([32]byte{1})
	data := make([]byte, 200_001)
	_, _ = random.Read(data)
	must(t, q.Write(ctx, addr, data))
	got, err := q.ReadBase64(ctx, addr, len(data))
	is(t, bytes.Equal(got, data), true, err)
	_, _ = random.Read(data)
	must(t, q.WriteBase64(ctx, addr, data))
	got, err = q.Read(ctx, addr, len(data))
	is(t, bytes.Equal(got, data), true, err)

	const big = 3<<20 + 5
	must(t, q.Memset(ctx, addr, big, 0xab))
	got, err = q.ReadBase64(ctx, addr, big+1)
	is(t, bytes.Equal(got, append(bytes.Repeat([]byte{0xab}, big), 0)), true, err)

	// Some of these would make QEMU abort. The client does not send them.
	must(t, q.Write(ctx, addr, nil))
	must(t, q.WriteBase64(ctx, addr, nil))
	must(t, q.Memset(ctx, addr, 0, 1))
	got, err = q.Read(ctx, addr, 0)
	is(t, len(got), 0, err)
	got, err = q.ReadBase64(ctx, addr, 0)
	is(t, len(got), 0, err)
	v, err = q.ReadQ(ctx, 0xf_0000_0000)
	is(t, v, 0, err)
}

func TestPortsOfQEMU(t *testing.T) {
	t.Parallel()
	_, q := start(t)
	ctx := qemutest.Context(t)

	must(t, q.OutL(ctx, 0xcf8, 0x8000_0000)) // the host bridge's PCI configuration
	id, err := q.InL(ctx, 0xcfc)
	is(t, id, 0x1237_8086, err)
	device, err := q.InW(ctx, 0xcfe)
	is(t, device, 0x1237, err)

	must(t, q.OutB(ctx, 0x3ff, 0x5a)) // the serial port's scratch register
	b, err := q.InB(ctx, 0x3ff)
	is(t, b, 0x5a, err)
	must(t, q.OutW(ctx, 0xffff, 1)) // no device has this port
	w, err := q.InW(ctx, 0xfffe)
	is(t, w, 0xffff, err)
}

func TestInterruptsOfQEMU(t *testing.T) {
	t.Parallel()
	_, q := start(t)
	ctx := qemutest.Context(t)

	must(t, q.InterceptIn(ctx, "ioapic"))
	const enable, uart = 0x3f9, 4
	must(t, q.OutB(ctx, enable, 2)) // interrupt when there is nothing to send
	is(t, q.IRQLevel(uart), true, nil)
	must(t, q.OutB(ctx, enable, 0))
	is(t, q.IRQLevel(uart), false, nil)
	irq, err := q.NextIRQ(ctx)
	is(t, irq, qtest.IRQ{Num: uart, Raised: true}, err)
	is(t, irq.String(), "IRQ raise 4", nil)
	irq, err = q.NextIRQ(ctx)
	is(t, irq, qtest.IRQ{Num: uart}, err)
	is(t, irq.String(), "IRQ lower 4", nil)

	must(t, q.SetIRQIn(ctx, "ioapic", "", 7, true))
	must(t, q.SetIRQIn(ctx, "ioapic", "unnamed-gpio-in", 7, false))
	want := []qtest.IRQ{{Num: 7, Raised: true}, {Num: 7}}
	if got := q.IRQs(); !slices.Equal(got, want) {
		t.Errorf("interrupts %v, want %v", got, want)
	}
	is(t, len(q.IRQs()), 0, nil)

	var refused *qtest.CommandError
	// A path that is not a device's makes QEMU abort; only Debian's 7.2 answers.
	if err := q.InterceptOut(ctx, "i8042"); !errors.As(err, &refused) || refused.Status != "FAIL" || refused.Command != "irq_intercept_out" {
		t.Errorf("a second device: %v", err)
	}
	if err := q.InterceptIn(ctx, "nonesuch"); !errors.As(err, &refused) || refused.Message != "Unknown device" {
		t.Errorf("an unknown device: %v", err)
	}
}

func TestInterruptOutputsOfQEMU(t *testing.T) {
	t.Parallel()
	_, q := start(t)
	must(t, q.InterceptOut(qemutest.Context(t), "ioapic"))
}

func TestClockOfQEMU(t *testing.T) {
	t.Parallel()
	_, q := start(t)
	ctx := qemutest.Context(t)
	for name, call := range map[string]func() (time.Duration, error){
		"step":    func() (time.Duration, error) { return q.ClockStep(ctx) },
		"step by": func() (time.Duration, error) { return q.ClockStepBy(ctx, time.Second) },
		"set":     func() (time.Duration, error) { return q.ClockSet(ctx, time.Minute) },
	} {
		_, err := call()
		var refused *qtest.CommandError
		if !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := q.Command(ctx, "bogus 1 2"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("bogus: %v", err)
	}
}

func TestQEMUThatIsKilled(t *testing.T) {
	t.Parallel()
	qemu, q := start(t)
	ctx := qemutest.Context(t)
	must(t, q.InterceptIn(ctx, "ioapic"))
	must(t, q.SetIRQIn(ctx, "ioapic", "", 3, true))

	// QEMU is stopped and does not answer, so the calls wait. When it is killed, all
	// of them end.
	qemu.Freeze(t)
	ends := make(chan error)
	for range 4 {
		go func() {
			_, err := q.ReadB(ctx, 0x1000)
			ends <- err
		}()
	}
	go func() { ends <- q.Write(ctx, 0x1000, make([]byte, 16<<20)) }() // more than the socket holds
	short, cancel := context.WithTimeoutCause(ctx, 20*time.Millisecond, errors.New("enough"))
	_, err := q.InB(short, 0x3ff)
	cancel()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a stopped QEMU: %v", err)
	}
	qemu.Kill()
	for range 5 {
		err := <-ends
		var interrupted *qtest.InterruptedError
		if !errors.As(err, &interrupted) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("QEMU was killed: %v", err)
		}
	}
	irq, err := q.NextIRQ(ctx)
	is(t, irq, qtest.IRQ{Num: 3, Raised: true}, err)
	if _, err := q.NextIRQ(ctx); err == nil {
		t.Error("an interrupt came after the end")
	}
	<-q.Done()
	if err := q.Close(); err == nil || errors.Is(err, async.ErrClosed) {
		t.Errorf("the first Close: %v", err)
	}
	is(t, q.Close(), nil, nil)
}

func TestQEMUThatCrashes(t *testing.T) {
	t.Parallel()
	_, q := start(t)
	err := q.SetIRQIn(qemutest.Context(t), "ioapic", "", 1000, true)
	var interrupted *qtest.InterruptedError
	if !errors.As(err, &interrupted) || !interrupted.Sent || interrupted.Command != "set_irq_in" {
		t.Errorf("an input that is not there: %v", err)
	}
}

func TestQEMUThatIsSlow(t *testing.T) {
	t.Parallel()
	qemu, q := start(t)
	ctx := qemutest.Context(t)
	must(t, q.WriteB(ctx, 0x1000, 1))
	must(t, q.WriteB(ctx, 0x1001, 2))

	// QEMU answers a call that was given up later. That answer must not become the
	// answer of the next call.
	qemu.Freeze(t)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := q.ReadB(short, 0x1000); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a stopped QEMU: %v", err)
	}
	qemu.Thaw(t)
	b, err := q.ReadB(ctx, 0x1001)
	is(t, b, 2, err)
	is(t, q.Close(), nil, nil)
}

func TestDialQEMU(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	dir := qemutest.Dir(t)
	qemutest.Start(t, qemutest.Command{Program: qemutest.QEMU, Dir: dir, Args: []string{
		"-machine", "pc", "-S", "-nodefaults", "-display", "none",
		"-qtest", "unix:qtest,server=on,wait=off", "-qtest-log", "none",
	}})
	var q *qtest.Client
	for {
		var err error
		if q, err = qtest.Dial(ctx, dir+"/qtest"); err == nil {
			break
		}
		if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	b, err := q.ReadB(ctx, 0x1000)
	is(t, b, 0, err)
	must(t, q.Close())
	if _, err := q.ReadB(ctx, 0x1000); !errors.Is(err, async.ErrClosed) || errors.Is(err, io.EOF) {
		t.Errorf("after Close: %v", err)
	}
}
