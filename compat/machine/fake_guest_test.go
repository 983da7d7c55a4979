package machine_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

var (
	// guestIsOff says that the program ends as soon as it has written one more reply.
	guestIsOff atomic.Bool
	// guestGoesOff says that the program ends a moment after one more reply. A command
	// that comes in that moment makes it hang, as QEMU 7.2 may.
	guestGoesOff, hangs atomic.Bool
)

// endsAfterReply is the monitor's connection of a program whose guest may switch itself
// off.
type endsAfterReply struct{ net.Conn }

func (c endsAfterReply) Write(b []byte) (int, error) {
	off, goes := guestIsOff.Load(), guestGoesOff.Load() // not after the write, when a reply may have led to a further command
	n, err := c.Conn.Write(b)
	switch reply := bytes.Contains(b, []byte(`"return"`)); {
	case reply && off:
		os.Exit(0)
	case reply && goes:
		time.AfterFunc(200*time.Millisecond, func() {
			if !hangs.Load() {
				os.Exit(0)
			}
		})
	}
	return n, err
}

// playGuest plays a guest that is asked to shut down. The mode says how it reacts. If the
// mode ends in a number, the guest reacts to the press of the button with that number.
func playGuest(s *qmptest.Server, mode string) bool {
	var nth, presses int
	if _, err := fmt.Sscanf(mode, "guest off at %d", &nth); err != nil && !strings.HasPrefix(mode, "guest ") {
		return false
	}
	var mu sync.Mutex
	status := "running"
	s.Handle("query-status", func(ctx context.Context, _ *qmptest.Command) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		if guestGoesOff.Load() {
			hangs.Store(true)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		guestIsOff.Store(mode == "guest off, process ends later" && status == "shutdown")
		return map[string]any{"status": status, "running": status == "running"}, nil
	})
	if strings.HasSuffix(mode, "takes no command") {
		s.Handle("quit", func(ctx context.Context, _ *qmptest.Command) (any, error) {
			hangs.Store(true)
			<-ctx.Done()
			return nil, ctx.Err()
		})
	}
	s.Handle("set-status", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		var args struct {
			Status string `json:"status"`
		}
		err := cmd.Decode(&args)
		status = args.Status
		return nil, err
	})
	shutdown := func(reason string) { check(s.Emit("SHUTDOWN", map[string]any{"guest": true, "reason": reason})) }
	s.Handle("system_powerdown", func(ctx context.Context, _ *qmptest.Command) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		check(s.Emit("POWERDOWN", nil))
		presses++
		switch mode {
		case "guest ignores":
		case "guest refuses":
			return nil, &async.ExecuteError{Class: "GenericError", Desc: "no button"}
		case "guest mute":
			<-ctx.Done()
			return nil, ctx.Err()
		case "guest off, process stays": // as with -no-shutdown
			shutdown("guest-shutdown")
			status = "shutdown"
			check(s.Emit("STOP", nil))
		case "guest off, process ends later": // and answers once more until then
			shutdown("guest-shutdown")
			status = "shutdown"
		case "guest off, slow process": // it takes longer to close its images than PowerDown waits
			shutdown("guest-shutdown")
		case "guest panics, process stays":
			status = "guest-panicked"
			check(s.Emit("GUEST_PANICKED", map[string]any{"action": "pause"}))
		case "guest panics":
			check(s.Emit("GUEST_PANICKED", map[string]any{"action": "poweroff"}))
			shutdown("guest-panic")
			guestIsOff.Store(true)
		case "guest off, takes no command":
			guestGoesOff.Store(true)
			shutdown("guest-shutdown")
		case "guest panics, takes no command":
			guestGoesOff.Store(true)
			check(s.Emit("GUEST_PANICKED", map[string]any{"action": "poweroff"}))
			shutdown("guest-panic")
		case "guest reboots": // and is down at the next press
			check(s.Emit("RESET", map[string]any{"guest": true, "reason": "guest-reset"}))
			nth = 2
		}
		if presses == nth {
			shutdown("guest-shutdown")
			guestIsOff.Store(true)
		}
		return nil, nil
	})
	return true
}
