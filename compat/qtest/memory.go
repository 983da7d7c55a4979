package qtest

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// chunk is how many bytes of memory one line carries at most. Whenever a part of a
// line arrives, QEMU searches the whole line so far for its end. So the time grows
// with the square of a line's length.
const chunk = 64 << 10

// value executes a command whose answer is a number of at most so many bits.
func (c *Client) value(ctx context.Context, line string, bits int) (uint64, error) {
	answer, err := c.Command(ctx, line)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseUint(answer, 0, bits)
	if err != nil {
		return 0, &ProtocolError{Line: begin("OK " + answer), Problem: fmt.Sprintf("the answer to %s must be a number of %d bits", command(line), bits)}
	}
	return v, nil
}

// order executes a command whose answer is only OK.
func (c *Client) order(ctx context.Context, format string, args ...any) error {
	_, err := c.Command(ctx, fmt.Sprintf(format, args...))
	return err
}

// ReadB reads a byte of physical memory at addr. For this and the other methods that
// read memory, QEMU returns zeros where there is no memory.
func (c *Client) ReadB(ctx context.Context, addr uint64) (uint8, error) {
	v, err := c.value(ctx, fmt.Sprintf("readb %#x", addr), 8)
	return uint8(v), err
}

// ReadW reads 2 bytes of physical memory at addr, as a number in the guest's byte
// order.
func (c *Client) ReadW(ctx context.Context, addr uint64) (uint16, error) {
	v, err := c.value(ctx, fmt.Sprintf("readw %#x", addr), 16)
	return uint16(v), err
}

// ReadL is [Client.ReadW] for 4 bytes.
func (c *Client) ReadL(ctx context.Context, addr uint64) (uint32, error) {
	v, err := c.value(ctx, fmt.Sprintf("readl %#x", addr), 32)
	return uint32(v), err
}

// ReadQ is [Client.ReadW] for 8 bytes.
func (c *Client) ReadQ(ctx context.Context, addr uint64) (uint64, error) {
	return c.value(ctx, fmt.Sprintf("readq %#x", addr), 64)
}

// WriteB writes a byte of physical memory at addr. For this and the other methods
// that write memory, nothing happens where there is no memory.
func (c *Client) WriteB(ctx context.Context, addr uint64, v uint8) error {
	return c.order(ctx, "writeb %#x %#x", addr, v)
}

// WriteW writes 2 bytes of physical memory at addr, as a number in the guest's
// byte order.
func (c *Client) WriteW(ctx context.Context, addr uint64, v uint16) error {
	return c.order(ctx, "writew %#x %#x", addr, v)
}

// WriteL is [Client.WriteW] for 4 bytes.
func (c *Client) WriteL(ctx context.Context, addr uint64, v uint32) error {
	return c.order(ctx, "writel %#x %#x", addr, v)
}

// WriteQ is [Client.WriteW] for 8 bytes.
func (c *Client) WriteQ(ctx context.Context, addr, v uint64) error {
	return c.order(ctx, "writeq %#x %#x", addr, v)
}

// InB reads a byte of an I/O port.
func (c *Client) InB(ctx context.Context, port uint16) (uint8, error) {
	v, err := c.value(ctx, fmt.Sprintf("inb %#x", port), 8)
	return uint8(v), err
}

// InW reads 2 bytes of an I/O port.
func (c *Client) InW(ctx context.Context, port uint16) (uint16, error) {
	v, err := c.value(ctx, fmt.Sprintf("inw %#x", port), 16)
	return uint16(v), err
}

// InL reads 4 bytes of an I/O port.
func (c *Client) InL(ctx context.Context, port uint16) (uint32, error) {
	v, err := c.value(ctx, fmt.Sprintf("inl %#x", port), 32)
	return uint32(v), err
}

// OutB writes a byte to an I/O port.
func (c *Client) OutB(ctx context.Context, port uint16, v uint8) error {
	return c.order(ctx, "outb %#x %#x", port, v)
}

// OutW writes 2 bytes to an I/O port.
func (c *Client) OutW(ctx context.Context, port, v uint16) error {
	return c.order(ctx, "outw %#x %#x", port, v)
}

// OutL writes 4 bytes to an I/O port.
func (c *Client) OutL(ctx context.Context, port uint16, v uint32) error {
	return c.order(ctx, "outl %#x %#x", port, v)
}

// Read reads size bytes of physical memory at addr. It reads them in pieces of at most
// 64 KiB, and QEMU may do other things between two pieces. After an error the result
// is nil.
func (c *Client) Read(ctx context.Context, addr uint64, size int) ([]byte, error) {
	return c.read(ctx, "read", addr, size, func(text string) ([]byte, error) {
		digits, ok := strings.CutPrefix(text, "0x")
		if !ok {
			return nil, hex.InvalidByteError(0)
		}
		return hex.DecodeString(digits)
	})
}

// ReadBase64 is [Client.Read] with base64 on the wire, which is shorter than
// hexadecimal.
func (c *Client) ReadBase64(ctx context.Context, addr uint64, size int) ([]byte, error) {
	return c.read(ctx, "b64read", addr, size, base64.StdEncoding.DecodeString)
}

func (c *Client) read(ctx context.Context, cmd string, addr uint64, size int, decode func(string) ([]byte, error)) ([]byte, error) {
	if size < 0 {
		return nil, &ArgumentError{Command: cmd, Problem: "the size is negative"}
	}
	var data []byte // grows with what QEMU sends: size may be more than QEMU has
	for len(data) < size {
		n := min(size-len(data), chunk)
		answer, err := c.Command(ctx, fmt.Sprintf("%s %#x %d", cmd, addr+uint64(len(data)), n))
		if err != nil {
			return nil, err
		}
		part, err := decode(answer)
		if err != nil || len(part) != n {
			return nil, &ProtocolError{Line: begin("OK " + answer), Problem: fmt.Sprintf("the answer to %s must be %d bytes", cmd, n)}
		}
		data = append(data, part...)
	}
	return data, nil
}

// Write writes data to physical memory at addr. It writes in pieces of at most 64 KiB,
// and QEMU may do other things between two pieces. If it returns an error, the pieces
// before it may have been written.
func (c *Client) Write(ctx context.Context, addr uint64, data []byte) error {
	return c.write(ctx, "write", addr, data, func(part []byte) string { return "0x" + hex.EncodeToString(part) })
}

// WriteBase64 is [Client.Write] with base64 on the wire, which is shorter than
// hexadecimal.
func (c *Client) WriteBase64(ctx context.Context, addr uint64, data []byte) error {
	return c.write(ctx, "b64write", addr, data, base64.StdEncoding.EncodeToString)
}

func (c *Client) write(ctx context.Context, cmd string, addr uint64, data []byte, encode func([]byte) string) error {
	for len(data) > 0 {
		part := data[:min(len(data), chunk)]
		if err := c.order(ctx, "%s %#x %d %s", cmd, addr, len(part), encode(part)); err != nil {
			return err
		}
		addr, data = addr+uint64(len(part)), data[len(part):]
	}
	return nil
}

// Memset fills size bytes of physical memory at addr with v. It does so in pieces of
// at most 1 MiB: QEMU allocates as much memory as the piece has bytes.
func (c *Client) Memset(ctx context.Context, addr uint64, size int, v uint8) error {
	if size < 0 {
		return &ArgumentError{Command: "memset", Problem: "the size is negative"}
	}
	for size > 0 {
		n := min(size, 1<<20)
		if err := c.order(ctx, "memset %#x %d %#x", addr, n, v); err != nil {
			return err
		}
		addr, size = addr+uint64(n), size-n
	}
	return nil
}

// ByteOrder returns the guest's byte order.
func (c *Client) ByteOrder(ctx context.Context) (binary.ByteOrder, error) {
	answer, err := c.Command(ctx, "endianness")
	switch {
	case err != nil:
		return nil, err
	case answer == "little":
		return binary.LittleEndian, nil
	case answer == "big":
		return binary.BigEndian, nil
	}
	return nil, &ProtocolError{Line: begin("OK " + answer), Problem: "the answer to endianness must be little or big"}
}

// ClockStep sets the guest's clock to the time at which its next timer is due. It
// returns the clock's new time, counted from the start of the machine. Without -accel
// qtest the error is a [*CommandError] that matches errors.ErrUnsupported.
func (c *Client) ClockStep(ctx context.Context) (time.Duration, error) {
	return c.clock(ctx, "clock_step")
}

// ClockStepBy advances the guest's clock by d. Its results are those of
// [Client.ClockStep].
func (c *Client) ClockStepBy(ctx context.Context, d time.Duration) (time.Duration, error) {
	return c.clock(ctx, "clock_step", d)
}

// ClockSet sets the guest's clock to t, counted from the start of the machine. Its
// results are those of [Client.ClockStep].
func (c *Client) ClockSet(ctx context.Context, t time.Duration) (time.Duration, error) {
	return c.clock(ctx, "clock_set", t)
}

func (c *Client) clock(ctx context.Context, cmd string, to ...time.Duration) (time.Duration, error) {
	line := cmd
	for _, t := range to {
		if t < 0 {
			return 0, &ArgumentError{Command: cmd, Problem: "the time is negative"}
		}
		line += fmt.Sprintf(" %d", t.Nanoseconds())
	}
	ns, err := c.value(ctx, line, 63)
	return time.Duration(ns), err
}
