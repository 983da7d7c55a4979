package qtest

import (
	"context"
	"strconv"
	"strings"

	"github.com/goqmp/qmp/internal/contexts"
)

// An IRQ is a change of an interrupt line.
type IRQ struct {
	Num    int  // of the input or output of the device that is intercepted
	Raised bool // or lowered
}

// String returns the change as the protocol has it.
func (i IRQ) String() string {
	if i.Raised {
		return "IRQ raise " + strconv.Itoa(i.Num)
	}
	return "IRQ lower " + strconv.Itoa(i.Num)
}

// parseIRQ parses "IRQ raise NUM" and "IRQ lower NUM".
func parseIRQ(line string) (IRQ, error) {
	words := strings.Fields(line)
	if len(words) == 3 && (words[1] == "raise" || words[1] == "lower") {
		if n, err := strconv.ParseUint(words[2], 10, 31); err == nil {
			return IRQ{Num: int(n), Raised: words[1] == "raise"}, nil
		}
	}
	return IRQ{}, &ProtocolError{Line: begin(line), Problem: "not an interrupt"}
}

// InterceptIn has QEMU report the changes of the interrupt inputs of the device
// at a QOM path, such as "ioapic", which is not absolute and so may stand anywhere
// in the tree. The device itself sees them no more. Only one device can be
// intercepted, for as long as QEMU runs; another one is a [*CommandError].
func (c *Client) InterceptIn(ctx context.Context, path string) error {
	return c.withPath(ctx, "irq_intercept_in", path)
}

// InterceptOut is [Client.InterceptIn] for the device's unnamed interrupt outputs.
func (c *Client) InterceptOut(ctx context.Context, path string) error {
	return c.withPath(ctx, "irq_intercept_out", path)
}

// SetIRQIn sets input num of the device at a QOM path. name is that of the
// group of inputs, "" for those without a name. QEMU does not survive a name or
// number that the device lacks.
func (c *Client) SetIRQIn(ctx context.Context, path, name string, num int, raised bool) error {
	const cmd = "set_irq_in"
	if name == "" {
		name = "unnamed-gpio-in" // what QEMU calls them
	}
	if num < 0 {
		return &ArgumentError{Command: cmd, Problem: "the number is negative"}
	}
	level := "0"
	if raised {
		level = "1"
	}
	if err := checkWord(cmd, "name", name); err != nil {
		return err
	}
	return c.withPath(ctx, cmd, path, name, strconv.Itoa(num), level)
}

// withPath executes a command whose first argument is a QOM path.
func (c *Client) withPath(ctx context.Context, cmd, path string, args ...string) error {
	if err := checkWord(cmd, "path", path); err != nil {
		return err
	}
	_, err := c.Command(ctx, strings.Join(append([]string{cmd, path}, args...), " "))
	return err
}

// checkWord refuses what would not be one word of a line.
func checkWord(cmd, what, word string) error {
	if word == "" || strings.ContainsAny(word, " \t\r\n\x00") {
		return &ArgumentError{Command: cmd, Problem: "the " + what + " is empty, or has a blank in it: " + strconv.Quote(word)}
	}
	return nil
}

// NextIRQ takes the oldest change that nobody has taken, and waits for one.
// Changes that came before the answer to a command are there when the call that
// got the answer returns. The error is an [*InterruptedError]; behind the end of
// the connection, what came before it is given out first.
func (c *Client) NextIRQ(ctx context.Context) (IRQ, error) {
	for {
		c.mu.Lock()
		irq, ok := c.irqs.take()
		changed, cause := c.irqs.changes(), c.cause
		c.mu.Unlock()
		switch {
		case ok:
			return irq, nil
		case cause != nil:
			return IRQ{}, &InterruptedError{Err: cause}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return IRQ{}, &InterruptedError{Err: contexts.Err(ctx)}
		}
	}
}

// IRQs takes all changes that nobody has taken, oldest first, and waits for none.
func (c *Client) IRQs() []IRQ {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.irqs.queue
	c.irqs.queue = nil
	return all
}

// IRQLevel reports whether line num is raised, as far as QEMU has reported,
// whether those changes were taken or not. All lines begin lowered.
func (c *Client) IRQLevel(num int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.irqs.raised[num]
}

// An irqQueue holds the changes that nobody has taken. Client.mu guards it.
type irqQueue struct {
	queue   []IRQ
	raised  map[int]bool
	changed chan struct{} // closed at the next change; nil while nobody waits
}

func (q *irqQueue) put(irq IRQ) {
	q.queue = append(q.queue, irq)
	if q.raised == nil {
		q.raised = make(map[int]bool)
	}
	q.raised[irq.Num] = irq.Raised
	q.wake()
}

func (q *irqQueue) take() (IRQ, bool) {
	if len(q.queue) == 0 {
		return IRQ{}, false
	}
	irq := q.queue[0]
	q.queue = q.queue[1:]
	return irq, true
}

// changes returns a channel that is closed at the next change.
func (q *irqQueue) changes() <-chan struct{} {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

func (q *irqQueue) wake() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}
