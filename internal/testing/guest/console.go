package guest

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Console is the test's end of the guest's serial port. It reads all the time, so
// that the guest never waits for the test. Its methods may be called concurrently.
type Console struct {
	t    testing.TB
	conn net.Conn

	mu      sync.Mutex // guards the fields below
	lines   []string
	trouble string        // the line in which the guest reports a failure; "" if there is none
	ended   error         // why there will be no more lines; nil until then
	changed chan struct{} // closed at each change, and replaced by a new one
}

// Attach returns the console of a guest whose serial port is at the other end of
// conn, such as machine.Machine.Console. The test's cleanup closes conn. If the test
// has failed, its log has what the guest wrote.
func Attach(t testing.TB, conn net.Conn) *Console {
	t.Helper()
	c := &Console{t: t, conn: conn, changed: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			line := strings.TrimSpace(lines.Text())
			c.update(func() {
				c.lines = append(c.lines, line)
				if strings.Contains(line, "guest: cannot ") {
					c.trouble = line
				}
			})
		}
		c.update(func() {
			if c.ended = lines.Err(); c.ended == nil {
				c.ended = net.ErrClosed
			}
		})
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
		if t.Failed() {
			t.Logf("the guest's console:\n%s", strings.Join(c.lines, "\n"))
		}
	})
	return c
}

// update makes a change, and wakes the calls that wait for one.
func (c *Console) update(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Await waits until the guest has written what, such as "ready", at least times times
// since its start. If the guest reports a failure, its console ends, or [Patience]
// passes, Await ends the test. It is for the test's own goroutine.
func (c *Console) Await(what string, times int) {
	c.t.Helper()
	late := time.NewTimer(Patience)
	defer late.Stop()
	for {
		c.mu.Lock()
		n, trouble, ended, changed := c.count(what), c.trouble, c.ended, c.changed
		c.mu.Unlock()
		switch {
		case n >= times:
			return
		case trouble != "":
			c.t.Fatalf("the guest reports a failure: %s", trouble)
		case ended != nil:
			c.t.Fatalf("the guest wrote %q %d times, want %d, and its console ended: %v", what, n, times, ended)
		}
		select {
		case <-changed:
		case <-late.C:
			c.t.Fatalf("the guest wrote %q %d times within %v, want %d", what, n, Patience, times)
		}
	}
}

// Said returns how many times the guest has written what.
func (c *Console) Said(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count(what)
}

// count returns how many lines of the guest's program are what. The caller holds mu.
func (c *Console) count(what string) int {
	n := 0
	for _, line := range c.lines {
		if strings.HasSuffix(line, "guest: "+what) { // the kernel may have written to the same line before
			n++
		}
	}
	return n
}

// Go makes a guest with Options.Hold continue its boot.
func (c *Console) Go() {
	c.t.Helper()
	if _, err := c.conn.Write([]byte("\n")); err != nil {
		c.t.Fatalf("the guest's console: %v", err)
	}
}
