package qtest

import (
	"context"
	"strconv"
	"strings"

	"github.com/goqmp/qmp/internal/contexts"
)

// An IRQ is a change of an interrupt line.
type IRQ struct {
	Num    int  // the number of the device's input or output
	Raised bool // whether the line was raised; otherwise it was lowered
}

// String returns the change as the protocol writes it, such as "IRQ raise 4".
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

// InterceptIn asks QEMU to report the changes of a device's interrupt inputs:
// [Client.NextIRQ] returns them. The device itself does not get these interrupts any
// more. path is the device's QOM path. A path that is not absolute, such as "ioapic",
// is looked for in the whole QOM tree.
//
// Only one device can be intercepted as long as QEMU runs. For another one the error
// is a [*CommandError].
func (c *Client) InterceptIn(ctx context.Context, path string) error {
	return c.withPath(ctx, "irq_intercept_in", path)
}

// InterceptOut is [Client.InterceptIn] for the device's unnamed interrupt outputs.
func (c *Client) InterceptOut(ctx context.Context, path string) error {
	return c.withPath(ctx, "irq_intercept_out", path)
}

// SetIRQIn raises or lowers input num of the device at a QOM path. name is the name of
// a group of inputs, or "" for the inputs that have no name. QEMU aborts if the device
// lacks that name or number.
func (c *Client) SetIRQIn(ctx context.Context, path, name string, num int, raised bool) error {
	const cmd = "set_irq_in"
	if name == "" {
		name = "unnamed-gpio-in" // QEMU's name for them
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

// checkWord returns an error if word would not be exactly one word of a line.
func checkWord(cmd, what, word string) error {
	if word == "" || strings.ContainsAny(word, " \t\r\n\x00") {
		return &ArgumentError{Command: cmd, Problem: "the " + what + " is empty, or has a blank in it: " + strconv.Quote(word)}
	}
	return nil
}

// NextIRQ returns the oldest change in the queue and removes it. If the queue is empty
// it waits for a change. A change that QEMU sent before the answer to a command is in
// the queue when the call that gets the answer returns. The queue has no limit.
//
// The error is an [*InterruptedError], after ctx or the connection has ended. Changes
// that are in the queue then are returned before that.
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

// IRQs returns all changes in the queue, oldest first, and removes them. It does not
// wait.
func (c *Client) IRQs() []IRQ {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.irqs.queue
	c.irqs.queue = nil
	return all
}

// IRQLevel reports whether line num is raised, by the last change that QEMU has
// reported. It does not matter whether that change is still in the queue. A line that
// QEMU has not reported is lowered.
func (c *Client) IRQLevel(num int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.irqs.raised[num]
}

// An irqQueue holds the changes that nobody has taken. Client.mu guards it.
type irqQueue struct {
	queue   []IRQ         // oldest first
	raised  map[int]bool  // the level of each line that QEMU has reported
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

// changes returns a channel that is closed at the next change, and at the end of the
// connection.
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
