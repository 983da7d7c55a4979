package mux_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/qapi"
)

var (
	users = flag.Int("users", 100, "how many users TestManyUsers_QEMU has")
	each  = flag.Int("commands", 5, "how many commands each of them sends")
)

// A hundred users work on one QEMU at the same time, each with tokens of its own: in the ids, and in what
// QEMU returns. Nothing is mixed up. All get every event. Users that read nothing, that send
// rubbish, and that leave in the middle of a command hold nobody up.
func TestManyUsers_QEMU(t *testing.T) {
	s := startReal(t, nil, &mux.Door{MaxUnread: 64 << 10})
	ctx := qemutest.Context(t)
	quiet := make(chan struct{}) // closed when the others are done
	var others, good sync.WaitGroup
	dial := func() net.Conn {
		c, err := net.Dial("unix", s.door)
		if err != nil {
			t.Error(err)
			return nil
		}
		c.SetDeadline(time.Now().Add(qemutest.Patience))
		return c
	}
	for i := range 3 { // users that read nothing
		others.Go(func() {
			c := dial()
			if c == nil {
				return
			}
			defer c.Close()
			for range 1000 {
				c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // the Mux stops reading it
				if _, err := fmt.Fprintf(c, "%s{\"execute\":\"query-qmp-schema\",\"id\":%d}", plain, i); err != nil {
					break
				}
			}
			<-quiet
		})
	}
	for range 2 { // users that come, send half of something, and leave
		others.Go(func() {
			for {
				select {
				case <-quiet:
					return
				default:
				}
				if c := dial(); c != nil {
					fmt.Fprintf(c, "%s{\"execute\":\"query-commands\"}{\"execute\":\"qom-list\",\"argum@\xff", plain)
					time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
					c.Close()
				}
			}
		})
	}
	events := s.client.NewListener(nil, "STOP")
	defer events.Close()
	stops := make([]int, *users)
	for i := range *users {
		good.Go(func() {
			if i%2 == 0 {
				stops[i] = libraryUser(ctx, t, s.door, i)
			} else {
				stops[i] = rawUser(t, dial(), i)
			}
		})
	}
	good.Wait()
	close(quiet)
	others.Wait()
	total := events.Len()
	for i, n := range stops {
		if n < 1 || n > total {
			t.Errorf("user %d has seen %d events STOP of %d", i, n, total)
		}
	}
}

// libraryUser uses the door by package async. It returns how many STOP it has seen.
func libraryUser(ctx context.Context, t *testing.T, door string, number int) int {
	c, err := async.Dial(ctx, door, &async.Options{Nickname: fmt.Sprint("user ", number)})
	if err != nil {
		t.Error(err)
		return 0
	}
	defer c.Close()
	events := c.NewListener(nil, "STOP")
	for i := range *each {
		token := fmt.Sprintf("token-%d-%d", number, i)
		// What QEMU returns has the token: the error about an object that does not exist.
		_, err := c.Execute(ctx, "qom-list", map[string]string{"path": "/" + token})
		if err == nil || !strings.Contains(err.Error(), "'/"+token+"'") {
			t.Errorf("user %d got %v for %s", number, err, token)
		}
		if _, err := qapi.QueryStatus(ctx, c); err != nil {
			t.Errorf("user %d: %v", number, err)
		}
	}
	for _, f := range []func(context.Context, async.Caller) error{qapi.Stop, qapi.Cont, qapi.Stop} {
		if err := f(ctx, c); err != nil {
			t.Errorf("user %d: %v", number, err)
		}
	}
	if err := qapi.Cont(ctx, c); err != nil {
		t.Errorf("user %d: %v", number, err)
	}
	return events.Len()
}

// rawUser uses the door by hand: it sends all its commands together, and checks that each is
// answered in order.
func rawUser(t *testing.T, c net.Conn, number int) (stops int) {
	if c == nil {
		return 0
	}
	defer c.Close()
	go func() {
		fmt.Fprint(c, plain)
		for i := range *each {
			fmt.Fprintf(c, `{"execute":"qom-list","arguments":{"path":"/token-%d-%d"},"id":{"user":%d,"n":%d}}`, number, i, number, i)
		}
		fmt.Fprint(c, `{"execute":"stop","id":"stop"}{"execute":"cont","id":"cont"}{"execute":"stop","id":"stop"}{"execute":"cont","id":"end"}`)
	}()
	lines := bufio.NewReader(c)
	for next := -2; ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Errorf("user %d: %v", number, err)
			return stops
		}
		var m struct {
			Event string
			ID    json.RawMessage
			Error struct{ Desc string }
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Errorf("user %d: %s: %v", number, line, err)
		}
		if m.Event != "" {
			if m.Event == "STOP" {
				stops++
			}
			continue
		}
		next++ // the greeting is -2, the negotiation -1
		switch {
		case string(m.ID) == `"end"`:
			return stops
		case next >= 1 && next <= *each:
			i := next - 1
			if string(m.ID) != fmt.Sprintf(`{"user": %d, "n": %d}`, number, i) || !strings.Contains(m.Error.Desc, fmt.Sprintf("'/token-%d-%d'", number, i)) {
				t.Errorf("user %d: reply %d: %s", number, i, line)
			}
		}
	}
}
