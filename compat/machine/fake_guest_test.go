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

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// guestIsOff says that the program ends as soon as it has written one more reply.
var guestIsOff atomic.Bool

// endsAfterReply is the monitor's connection of a program whose guest may switch itself
// off.
type endsAfterReply struct{ net.Conn }

func (c endsAfterReply) Write(b []byte) (int, error) {
	off := guestIsOff.Load() // not after the write, when a reply may have led to a further command
	n, err := c.Conn.Write(b)
	if off && bytes.Contains(b, []byte(`"return"`)) {
		os.Exit(0)
	}
	return n, err
}

// playGuest plays a guest that is asked to shut down. A mode ending in a number reacts
// to that press of the button.
func playGuest(s *qmptest.Server, mode string) bool {
	var nth, presses int
	if _, err := fmt.Sscanf(mode, "guest off at %d", &nth); err != nil && !strings.HasPrefix(mode, "guest ") {
		return false
	}
	var mu sync.Mutex
	status := "running"
	s.Handle("query-status", func(context.Context, *qmptest.Command) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		guestIsOff.Store(mode == "guest off, process ends later" && status == "shutdown")
		return map[string]any{"status": status, "running": status == "running"}, nil
	})
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
		case "guest off, slow process": // its images take until somebody loses patience
			shutdown("guest-shutdown")
		case "guest panics, process stays":
			status = "guest-panicked"
			check(s.Emit("GUEST_PANICKED", map[string]any{"action": "pause"}))
		case "guest panics":
			check(s.Emit("GUEST_PANICKED", map[string]any{"action": "poweroff"}))
			shutdown("guest-panic")
			guestIsOff.Store(true)
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
