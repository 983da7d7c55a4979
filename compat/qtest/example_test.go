package qtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/goqmp/qmp/compat/qtest"
)

// pretend returns a connection to what answers an example. That is a goroutine that
// plays QEMU, or a real QEMU in TestExamples_QEMU.
var pretend = pretended

// pretended returns a connection to a goroutine that plays QEMU.
func pretended() net.Conn {
	conn, qemu := net.Pipe()
	answers := map[string]string{
		"irq_intercept_in ioapic": "OK",
		"outb 0x3f9 0x2":          "IRQ raise 4\nOK",
		"writel 0x1000 0x2a":      "OK",
		"readl 0x1000":            "OK 0x000000000000002a",
	}
	go func() {
		for in := bufio.NewScanner(qemu); in.Scan(); {
			answer, ok := answers[in.Text()]
			if !ok {
				answer = fmt.Sprintf("FAIL Unknown command '%s'", in.Text())
			}
			fmt.Fprintln(qemu, answer)
		}
		qemu.Close()
	}()
	return conn
}

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	q := qtest.New(pretend()) // for a real QEMU: Listen and Accept, or Dial
	defer q.Close()

	if err := q.WriteL(ctx, 0x1000, 42); err != nil {
		fmt.Println(err)
		return
	}
	v, err := q.ReadL(ctx, 0x1000)
	fmt.Println(v, err)
	// Output: 42 <nil>
}

func ExampleClient_NextIRQ() {
	ctx := context.Background()
	q := qtest.New(pretend())
	defer q.Close()

	if err := q.InterceptIn(ctx, "ioapic"); err != nil {
		fmt.Println(err)
		return
	}
	if err := q.OutB(ctx, 0x3f9, 2); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(q.NextIRQ(ctx))
	// Output: IRQ raise 4 <nil>
}

func ExampleClient_ClockStep() {
	q := qtest.New(pretend())
	defer q.Close()

	_, err := q.ClockStep(context.Background())
	if errors.Is(err, errors.ErrUnsupported) {
		fmt.Println("this QEMU runs without -accel qtest")
	}
	// Output: this QEMU runs without -accel qtest
}
