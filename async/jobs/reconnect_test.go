package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/qapi"
)

// A line connects a client to one sim after another. The test cuts it.
type line struct {
	mu   sync.Mutex // guards the fields below
	to   *sim       // nil: nobody listens
	conn net.Conn
}

func (l *line) dial(ctx context.Context) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		return nil, errors.New("nobody listens")
	}
	conn, err := l.to.Dial(ctx)
	l.conn = conn
	return conn, err
}

// cut ends the connection. The next one goes to another sim, or to none.
func (l *line) cut(to *sim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn.Close()
	l.to = to
}

// newLine returns a client that connects again, and the line between it and a sim.
func newLine(t *testing.T, r *async.Reconnect) (*sim, *async.Client, *line) {
	t.Helper()
	s := simulate(t, qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory}))
	l := &line{to: s}
	c := async.New(&async.Options{
		Dialer: l.dial, Reconnect: r, Backoff: async.Every(time.Second),
	})
	if err := c.Connect(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s, c, l
}

// A job is followed across the loss of a connection. What happened meanwhile is asked.
func TestReconnect(t *testing.T) {
	const gone = "is gone, and how it ended is not known; when it was last seen: it is running"
	byHand := func() simJob {
		j := backupJob("j")
		j.dismiss = false
		return j
	}
	for name, tt := range map[string]struct {
		job  simJob
		gap  func(s *sim) // what happens while there is no connection
		then func(s *sim) // what happens after it
		want string       // "" or a part of the error
	}{
		"it goes on":             {backupJob("j"), nil, func(s *sim) { s.finish("j", "") }, ""},
		"it fails later":         {backupJob("j"), nil, func(s *sim) { s.finish("j", "why") }, "failed: why"},
		"it ends meanwhile":      {backupJob("j"), func(s *sim) { s.finish("j", "") }, nil, gone},
		"it fails meanwhile":     {backupJob("j"), func(s *sim) { s.finish("j", "why") }, nil, gone},
		"it is concluded":        {byHand(), func(s *sim) { s.finish("j", "") }, nil, ""},
		"it has failed":          {byHand(), func(s *sim) { s.finish("j", "why") }, nil, "failed: why"},
		"it waits for a command": {simJob{info: qapi.JobInfo{ID: "j", Type: "backup"}, dismiss: true, block: true}, func(s *sim) { s.finish("j", "") }, nil, ""},
		"another job has its id": {backupJob("j"), func(s *sim) {
			s.finish("j", "")
			s.create(createJob("j"))
		}, nil, gone},
	} {
		for _, waits := range []string{"from the beginning", "after the loss", "after the new connection"} {
			for _, orderly := range []bool{false, true} {
				if orderly && waits == "from the beginning" {
					continue // a Disconnect ends the call
				}
				t.Run(fmt.Sprintf("%s, waits %s, orderly %t", name, waits, orderly), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s, c, l := newLine(t, &async.Reconnect{})
						j := s.started(c, tt.job, nil)
						if _, err := j.Progress(t.Context()); err != nil { // it also tells the type
							t.Fatal(err)
						}
						result := make(chan error, 1)
						wait := func(when string) {
							if when == waits {
								go func() { result <- j.Wait(t.Context()) }()
								synctest.Wait()
							}
						}
						wait("from the beginning")
						if orderly {
							if err := c.Disconnect(t.Context()); err != nil {
								t.Fatal(err)
							}
						} else {
							l.cut(nil)
							synctest.Wait()
							wait("after the loss")
						}
						if tt.gap != nil {
							tt.gap(s)
						}
						time.Sleep(time.Minute)
						if orderly {
							if err := c.Connect(t.Context(), ""); err != nil {
								t.Fatal(err)
							}
							wait("after the loss")
						} else {
							l.mu.Lock()
							l.to = s
							l.mu.Unlock()
							time.Sleep(time.Minute)
						}
						wait("after the new connection")
						if tt.then != nil {
							tt.then(s)
						}
						err := <-result
						if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
							t.Errorf("Wait: %v, want %q", err, tt.want)
						}
						if errors.Is(err, jobs.ErrGone) != (tt.want == gone) {
							t.Errorf("%v matches ErrGone: %t", err, errors.Is(err, jobs.ErrGone))
						}
					})
				})
			}
		}
	}
}

// After QEMU was restarted, its jobs do not exist any more.
func TestReconnectToANewQEMU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, l := newLine(t, &async.Reconnect{})
		j := s.started(c, backupJob("j"), nil)
		g, err := jobs.StartMigration(t.Context(), c, func(context.Context) error { return nil }, nil)
		if err == nil {
			t.Fatalf("a migration of a sim that has none: %v", g)
		}
		next := simulate(t, qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory}))
		go func() {
			time.Sleep(time.Second)
			l.cut(next)
		}()
		n := 0
		var last error
		for _, last = range j.Watch(t.Context(), 10*time.Second) {
			n++
		}
		if !errors.Is(last, jobs.ErrGone) || n != 2 {
			t.Errorf("Watch, %d times: %v", n, last)
		}
		if err := j.Wait(t.Context()); !errors.Is(err, jobs.ErrGone) {
			t.Errorf("Wait: %v", err)
		}
		if err := j.Cancel(t.Context()); err != jobs.ErrEnded {
			t.Errorf("Cancel: %v", err)
		}
	})
}

// The connection is lost while a command of the Policy is executed. QEMU is asked what
// became of it, and the command is repeated only if the job still waits for it.
func TestReconnectDuringACommand(t *testing.T) {
	for _, executed := range []bool{true, false} {
		t.Run(fmt.Sprintf("executed: %t", executed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c, l := newLine(t, &async.Reconnect{})
				j := s.started(c, simJob{info: qapi.JobInfo{ID: "j", Type: "backup"}, block: true}, nil)
				lost := false
				s.Handle("job-finalize", func(context.Context, *qmptest.Command) (any, error) {
					if !lost {
						lost = true
						l.cut(s)
						if !executed {
							return nil, nil
						}
					}
					s.do("j", s.conclude)
					return nil, nil
				})
				s.finish("j", "")
				if err := j.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				want := []string{"job-finalize", "job-dismiss"}
				if !executed {
					want = append([]string{"job-finalize"}, want...)
				}
				if sent := s.executed(); !slices.Equal(sent, want) {
					t.Errorf("sent %v, want %v", sent, want)
				}
			})
		})
	}
}

// A client that gives up ends the call, which says why. So does the call's context.
func TestReconnectGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, l := newLine(t, &async.Reconnect{MaxTime: time.Minute})
		j := s.started(c, backupJob("j"), nil)
		l.cut(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := j.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait: %v", err)
		}
		start := time.Now()
		err := j.Wait(t.Context())
		if _, ok := errors.AsType[*jobs.WaitError](err); !ok || !strings.Contains(err.Error(), "nobody listens") || time.Since(start) > time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		n := 0
		for _, err := range j.Watch(t.Context(), time.Second) {
			if n++; err == nil || n > 1 {
				t.Errorf("Watch: %v", err)
			}
		}
	})
}

// The connection is lost at the moment of a reply to query-jobs. The reply is older than
// the loss, so it does not tell what became of the job.
func TestReconnectAtTheReply(t *testing.T) {
	for range 25 {
		synctest.Test(t, func(t *testing.T) {
			s, c, l := newLine(t, &async.Reconnect{})
			j := s.started(c, backupJob("j"), nil)
			next := simulate(t, qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory}))
			s.Handle("query-jobs", func(context.Context, *qmptest.Command) (any, error) {
				go l.cut(next)
				return []qapi.JobInfo{{ID: "j", Type: "backup", Status: "ready"}}, nil
			})
			s.ready("j")
			if err := j.Wait(t.Context()); !errors.Is(err, jobs.ErrGone) {
				t.Errorf("Wait: %v", err)
			}
		})
	}
}
