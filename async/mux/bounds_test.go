package mux_test

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/async/qmptest"
)

// What is read of a user while a command is executed is limited in bytes: those of out-of-band
// commands count, and the texts of errors, which may repeat what the user has sent.
func TestWaitingBytes(t *testing.T) {
	large := strings.Repeat("x", 1100<<10)
	for name, message := range map[string]string{
		"out of band": `{"exec-oob":"big","arguments":{"x":"` + large + `"}}`,
		"in band":     `{"execute":"big","arguments":{"x":"` + large + `"}}`,
		"stray bytes": `"` + large + "\xff\n",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := start(t, nil)
				release := s.slow()
				s.HandleOOB("fast", func(ctx context.Context, _ *qmptest.Command) (any, error) {
					select {
					case <-release:
					case <-ctx.Done():
					}
					return nil, nil
				})
				u := s.enter(&mux.Door{Deny: []string{"big"}}, true)
				u.send(`{"execute":"slow"}{"exec-oob":"fast"}`)
				synctest.Wait()
				var written atomic.Int64
				go func() {
					for range 3 {
						if _, err := u.Write([]byte(message)); err != nil {
							return
						}
						written.Add(1)
					}
				}()
				synctest.Wait()
				if n := written.Load(); n != 1 {
					t.Errorf("%d messages of more than 1 MiB were read while a command was executed, want 1", n)
				}
				go io.Copy(io.Discard, u)
				close(release)
				synctest.Wait()
				if n := written.Load(); n != 3 {
					t.Errorf("%d messages were read after that, want all 3", n)
				}
			})
		})
	}
}

// Out-of-band commands and others share one limit.
func TestWaitingBytesOfBoth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		release := s.slow()
		s.HandleOOB("fast", func(ctx context.Context, _ *qmptest.Command) (any, error) {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return nil, nil
		})
		u := s.enter(nil, true)
		half := `"arguments":{"x":"` + strings.Repeat("x", 600<<10) + `"}}`
		u.send(`{"exec-oob":"fast"}{"execute":"slow"}`)
		synctest.Wait()
		var written atomic.Int64
		go func() {
			for range 3 {
				for _, verb := range []string{`{"exec-oob":"fast",`, `{"execute":"query-name",`} {
					if _, err := u.Write([]byte(verb + half)); err != nil {
						return
					}
					written.Add(1)
				}
			}
		}()
		synctest.Wait()
		if n := written.Load(); n != 2 {
			t.Errorf("%d messages of 600 KiB were read, want 2", n)
		}
		close(release)
	})
}
