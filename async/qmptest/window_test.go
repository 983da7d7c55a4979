package qmptest

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// These tests hold out-of-band execution (client.go): how many commands the
// server takes before it stops reading.

// slow adds a command slow, which waits for a token.
func slow(s *Server) chan struct{} {
	token := make(chan struct{})
	s.Handle("slow", func(ctx context.Context, _ *Command) (any, error) {
		select {
		case <-token:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	return token
}

func TestOutOfBandOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Start(t, &Options{Network: Memory})
		token := slow(s)
		s.HandleOOB("fast", func(context.Context, *Command) (any, error) { return nil, nil })
		p := dial(t, s, oobNegotiation)
		p.send(`{"execute":"slow","id":1}{"execute":"query-name","id":2}{"exec-oob":"fast","id":3}{"execute":"fast","id":4}`)
		p.want(`{"return": {}, "id": 3}`)
		close(token)
		p.want(`{"return": {}, "id": 1}`)
		p.want(`{"return": {}, "id": 2}`)
		p.want(`{"return": {}, "id": 4}`)
	})
}

// While a slow command is executed and seven others wait, the server executes
// out-of-band commands. If eight wait, it reads nothing until a command is done,
// as QEMU does.
func TestOutOfBandStarves(t *testing.T) {
	for others, passes := range map[int]bool{7: true, 8: false} {
		t.Run(fmt.Sprint(others), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := Start(t, &Options{Network: Memory})
				token := slow(s)
				p := dial(t, s, oobNegotiation)
				p.send(`{"execute":"slow","id":0}`)
				synctest.Wait() // it is being executed, so it is not in the queue any more
				for i := range others {
					p.send(fmt.Sprintf(`{"execute":"slow","id":%d}`, i+1))
				}
				p.send(`{"exec-oob":"query-yank","id":"oob"}`)
				synctest.Wait()
				if !passes {
					// Now the next command leaves the queue, but the server reads
					// on only after it is done.
					token <- struct{}{}
					p.want(`{"return": {}, "id": 0}`)
					p.SetReadDeadline(time.Now().Add(time.Minute))
					p.want("!read pipe pipe->pipe: i/o timeout")
					p.SetReadDeadline(time.Time{})
					token <- struct{}{}
					p.want(`{"return": {}, "id": 1}`)
				}
				p.want(`{"return": [], "id": "oob"}`)
			})
		})
	}
}
