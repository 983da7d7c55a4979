package qtest_test

// Tests of a Client with a peer that plays QEMU: what it sends, what it reads, and how
// calls end.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/compat/qtest"
)

func TestLinesOnTheWire(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var lines []string
	q := serve(t, func(line string) string {
		lines = append(lines, line)
		switch {
		case strings.HasPrefix(line, "clock"):
			return "OK 1500000000"
		case line == "endianness":
			return "OK big"
		}
		return "OK"
	})
	for _, d := range []func(context.Context) (time.Duration, error){
		q.ClockStep,
		func(ctx context.Context) (time.Duration, error) { return q.ClockStepBy(ctx, time.Microsecond) },
		func(ctx context.Context) (time.Duration, error) { return q.ClockSet(ctx, 2*time.Second) },
	} {
		at, err := d(ctx)
		is(t, at, 1500*time.Millisecond, err)
	}
	order, err := q.ByteOrder(ctx)
	is(t, order.String(), "BigEndian", err)
	must(t, q.OutL(ctx, 0xcf8, 1))
	must(t, q.Write(ctx, 16, []byte{1, 0xff}))
	must(t, q.WriteBase64(ctx, 16, []byte{1, 0xff}))
	must(t, q.Memset(ctx, 16, 3, 9))
	must(t, q.SetIRQIn(ctx, "/machine/x", "", 2, true))
	answer, err := q.Command(ctx, "module_load a b")
	is(t, answer, "", err)

	want := []string{
		"clock_step", "clock_step 1000", "clock_set 2000000000", "endianness", "outl 0xcf8 0x1",
		"write 0x10 2 0x01ff", "b64write 0x10 2 Af8=", "memset 0x10 3 0x9", "set_irq_in /machine/x unnamed-gpio-in 2 1", "module_load a b",
	}
	if got, want := strings.Join(lines, "\n"), strings.Join(want, "\n"); got != want {
		t.Errorf("sent\n%s\nwant\n%s", got, want)
	}
}

func TestArgumentsThatMakeQEMUAbort(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	q := serve(t, func(line string) string { t.Errorf("sent %q", line); return "" })
	for name, call := range map[string]func() error{
		"no line":       func() error { _, err := q.Command(ctx, ""); return err },
		"two lines":     func() error { _, err := q.Command(ctx, "readb 1\nreadb 2"); return err },
		"negative read": func() error { _, err := q.Read(ctx, 0, -1); return err },
		"negative set":  func() error { return q.Memset(ctx, 0, -1, 0) },
		"no path":       func() error { return q.InterceptIn(ctx, "") },
		"blank in path": func() error { return q.InterceptOut(ctx, "a b") },
		"blank in name": func() error { return q.SetIRQIn(ctx, "ioapic", "a b", 0, true) },
		"negative line": func() error { return q.SetIRQIn(ctx, "ioapic", "", -1, true) },
		"negative time": func() error { _, err := q.ClockSet(ctx, -1); return err },
	} {
		err := call()
		var refused *qtest.ArgumentError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "not sent") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnswersOfAWrongForm(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	answer := ""
	q := serve(t, func(string) string { return answer })
	for _, tt := range []struct {
		answer string
		call   func() error
	}{
		{"OK", func() error { _, err := q.ReadB(ctx, 0); return err }},
		{"OK 0x100", func() error { _, err := q.ReadB(ctx, 0); return err }},
		{"OK x", func() error { _, err := q.InL(ctx, 0); return err }},
		{"OK 0x01", func() error { _, err := q.Read(ctx, 0, 2); return err }},
		{"OK 01", func() error { _, err := q.Read(ctx, 0, 1); return err }},
		{"OK 0xzz", func() error { _, err := q.Read(ctx, 0, 1); return err }},
		{"OK " + strings.Repeat("#", 200), func() error { _, err := q.ReadBase64(ctx, 0, 1); return err }},
		{"OK middle", func() error { _, err := q.ByteOrder(ctx); return err }},
		{"OK 9223372036854775808", func() error { _, err := q.ClockStep(ctx); return err }},
	} {
		answer = tt.answer
		err := tt.call()
		var broken *qtest.ProtocolError
		if !errors.As(err, &broken) || len(err.Error()) > 250 {
			t.Errorf("%.40s: %v", tt.answer, err)
		}
	}
	// None of that has ended the connection. A command that QEMU refuses does not end
	// it either.
	for answer, want := range map[string]qtest.CommandError{
		"FAIL":                        {Command: "read", Status: "FAIL"},
		"ERR invalid argument size\r": {Command: "read", Status: "ERR", Message: "invalid argument size"},
	} {
		q := serve(t, func(string) string { return answer })
		_, err := q.Read(ctx, 0, 1)
		var refused *qtest.CommandError
		if !errors.As(err, &refused) || *refused != want || errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%q: %v", answer, err)
		}
		for _, err := range []error{q.Memset(ctx, 0, 1, 1), q.Write(ctx, 0, []byte{1})} {
			if !errors.As(err, &refused) {
				t.Errorf("%q: %v", answer, err)
			}
		}
		if _, err := q.ByteOrder(ctx); !errors.As(err, &refused) {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

func TestLinesOutsideTheProtocol(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"hello", "", "IRQ", "IRQ lift 4", "IRQ raise x", "IRQ raise -1", "IRQ raise 4 5", "OKAY", "\x00",
		"OK " + strings.Repeat("0", 5<<20), "OK\nOK",
	} {
		q := serve(t, func(string) string { return line + "\nx" })
		_, err := q.InB(t.Context(), 1)
		var broken *qtest.ProtocolError
		if !errors.As(err, &broken) {
			t.Errorf("%.40q: %v", line, err)
		}
		if _, err = q.NextIRQ(t.Context()); !errors.As(err, &broken) {
			t.Errorf("%.40q: an interrupt: %v", line, err)
		}
		if err := q.Close(); !errors.As(err, &broken) {
			t.Errorf("%.40q: Close: %v", line, err)
		}
	}
}

func TestCallsThatEndBeforeTheyAreSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn, qemu := qmptest.PipeSize(16)
		q := qtest.New(conn)
		defer qemu.Close()
		defer q.Close()

		// The pipe is too small for the first line, so it is being written for a long
		// time. The second line waits.
		errs := make(chan error)
		call := func(limit time.Duration, line string) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), limit, io.ErrNoProgress)
			defer cancel()
			_, err := q.Command(ctx, line)
			errs <- err
		}
		go call(time.Second, "first "+strings.Repeat("x", 40))
		synctest.Wait()
		go call(2*time.Second, "second")
		for i, sent := range []bool{true, false} {
			err := <-errs
			var interrupted *qtest.InterruptedError
			if !errors.As(err, &interrupted) || interrupted.Sent != sent {
				t.Errorf("call %d: %v", i, err)
			}
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, io.ErrNoProgress) {
				t.Errorf("call %d: %v, which is not what the context ended with", i, err)
			}
		}
		go call(0, "third")
		if err := <-errs; !strings.Contains(err.Error(), "before it was sent") {
			t.Error(err)
		}

		// The first line was begun, so the client writes it to its end. It never sends
		// the second.
		go call(time.Minute, "fourth")
		in := bufio.NewReader(qemu)
		for _, want := range []string{"first " + strings.Repeat("x", 40), "fourth"} {
			line, err := in.ReadString('\n')
			is(t, line, want+"\n", err)
		}
		_, err := io.WriteString(qemu, "FAIL late\nOK 1\n")
		is(t, <-errs, nil, err)
	})
}

func TestManyCallers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	n := 0
	q := serve(t, func(line string) string {
		n++
		var port uint16
		_, err := fmt.Sscanf(line, "inw %v", &port)
		is(t, err, nil, nil)
		return fmt.Sprintf("IRQ raise %d\nOK %#x", n, port)
	})
	const callers, calls = 16, 50
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range calls {
				port := uint16(i*calls + j)
				if v, err := q.InW(ctx, port); v != port || err != nil {
					t.Errorf("port %d: %d, %v", port, v, err)
				}
			}
		})
	}
	for i := range callers * calls {
		irq, err := q.NextIRQ(ctx)
		is(t, irq.Num, i+1, err)
	}
	wg.Wait()
}

func TestWaitForAnInterrupt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn, qemu := qmptest.Pipe()
		q := qtest.New(conn)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := q.NextIRQ(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		waiting := make(chan error)
		go func() {
			_, err := q.NextIRQ(t.Context())
			waiting <- err
		}()
		synctest.Wait()
		must(t, q.Close())
		if err := <-waiting; !errors.Is(err, async.ErrClosed) {
			t.Error(err)
		}
		must(t, qemu.Close())
	})
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"qtest: read: ERR bad":     &qtest.CommandError{Command: "read", Status: "ERR", Message: "bad"},
		"qtest: module_load: FAIL": &qtest.CommandError{Command: "module_load", Status: "FAIL"},
		"qtest: clock_step: FAIL Unknown command 'clock_step' (the commands for the clock need -accel qtest: this QEMU was started or built without it)": &qtest.CommandError{Command: "clock_step", Status: "FAIL", Message: "Unknown command 'clock_step'"},
		"qtest: wait for an interrupt: EOF":                 &qtest.InterruptedError{Err: io.EOF},
		"qtest: readb: interrupted after it was sent: EOF":  &qtest.InterruptedError{Command: "readb", Sent: true, Err: io.EOF},
		"qtest: readb: interrupted before it was sent: EOF": &qtest.InterruptedError{Command: "readb", Err: io.EOF},
		`qtest: received "x": odd`:                          &qtest.ProtocolError{Line: "x", Problem: "odd"},
	} {
		is(t, err.Error(), want, nil)
	}
}

// FuzzReceive sends a client any bytes.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("OK 0x0000000000000001\n"))
	f.Add([]byte("IRQ raise 4\nIRQ lower 4\nFAIL Unknown command 'x'\n"))
	f.Add([]byte("ERR\r\nOK\nIRQ raise -1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, qemu := qmptest.PipeSize(max(1, len(data)))
		q := qtest.New(conn)
		_, err := qemu.Write(data)
		must(t, err)
		must(t, qemu.CloseWrite())
		_, _ = q.ReadB(t.Context(), 0)
		<-q.Done()
		if err := q.Close(); err == nil {
			t.Error("the end has no cause")
		}
		must(t, qemu.Close())
	})
}
