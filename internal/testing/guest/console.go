package guest

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Console is the guest's serial port as a test sees it. It reads all the time, so
// that the guest never waits for the test. Its methods may be called concurrently.
type Console struct {
	t    testing.TB
	conn net.Conn

	mu      sync.Mutex // guards the fields below
	lines   []string
	trouble string        // what the guest cannot do; "" if there is nothing
	ended   error         // why there will be no more lines; nil while there may be
	changed chan struct{} // closed, and made anew, at each change
}

// Attach returns the console at the other end of conn, such as
// machine.Machine.Console. It ends when conn is closed, which the caller does; a test
// that has failed shows what the guest wrote.
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

func (c *Console) update(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Await waits until the guest has said what, such as "ready", at least so many times
// in all. A guest that says that it cannot do something fails the test. It is for the
// test's own goroutine.
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
			c.t.Fatalf("the guest is broken: %s", trouble)
		case ended != nil:
			c.t.Fatalf("the guest said %q %d times, not %d, and its console ended: %v", what, n, times, ended)
		}
		select {
		case <-changed:
		case <-late.C:
			c.t.Fatalf("the guest said %q %d times, not %d, within %v", what, n, times, Patience)
		}
	}
}

// Said returns how many times the guest has said what.
func (c *Console) Said(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count(what)
}

// count counts the lines of the guest's program. mu is held.
func (c *Console) count(what string) int {
	n := 0
	for _, line := range c.lines {
		if strings.HasSuffix(line, "guest: "+what) { // after what the kernel may have left on the line
			n++
		}
	}
	return n
}

// Go lets a guest with Options.Hold go on.
func (c *Console) Go() {
	c.t.Helper()
	if _, err := c.conn.Write([]byte("\n")); err != nil {
		c.t.Fatalf("the guest's console: %v", err)
	}
}
