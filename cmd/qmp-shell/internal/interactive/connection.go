package interactive

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/notices"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
	"github.com/goqmp/qmp/qapi"
)

// begun takes a new connection.
func (s *Shell) begun() {
	s.connected, s.cause = true, nil
	s.board.Connected()
	s.tasks.Go(func() { s.lang.load(s.ctx) })
	if !s.opts.Agent {
		s.tasks.Go(func() {
			info, err := qapi.QueryName(s.ctx, s.caller)
			if err == nil && info.Name != nil && *info.Name != "" {
				s.box.post(func() { s.name = oneLine(*info.Name); s.show() })
			}
		})
	}
	s.show()
	s.ask()
}

// transition takes a change of the connection.
func (s *Shell) transition(t async.Transition) {
	s.drain() // what came before it
	switch {
	case t.To == async.Running && !s.connected:
		away := time.Since(s.lost).Round(time.Second)
		s.lang.forget()
		s.print(s.style.good("connected again to " + s.server() + ", after " + away.String()))
		s.begun()
	case t.From == async.Running && t.To != async.Running && s.connected:
		s.connected, s.lost, s.cause = false, time.Now(), t.Cause
		s.board.Lost()
		text := "the connection is lost: " + causeText(t.Cause)
		switch {
		case s.opts.Once:
			s.print(s.style.bad("the connection has ended: " + causeText(t.Cause)))
			s.show()
			s.leave()
			return
		case t.To == async.Connecting:
			text += "; the shell connects again by itself"
		}
		s.print(s.style.bad(text))
		s.show()
	case t.To == async.Disconnecting && !s.connected && t.Cause != nil:
		s.cause = t.Cause
		s.print(s.style.bad("not connected: " + causeText(t.Cause)))
		s.show()
	}
}

// causeText says why a connection has ended.
func causeText(err error) string {
	switch {
	case err == nil:
		return "this side has ended it"
	case async.HungUp(err):
		return "the server has hung up, as it does when it ends"
	}
	return output.Text(err.Error())
}

// prompt returns the prompt for the present state.
func (s *Shell) prompt() string {
	state := s.board.State()
	switch {
	case s.connected || s.lost.IsZero():
	case s.client.Runstate() == async.Connecting, s.client.Runstate() == async.Running:
		state = "connecting again"
	default:
		state = "not connected"
	}
	text := s.name
	if s.opts.HMP {
		text += " hmp"
	}
	if state != "" {
		text += " " + state
	}
	return "(" + text + ") "
}

// show brings the prompt and what is above it up to date.
func (s *Shell) show() {
	s.ui.SetPrompt(s.prompt())
	bars := s.board.Bars()
	var waits []string
	for _, r := range s.running {
		if r.slow {
			waits = append(waits, fmt.Sprintf("%s: no reply for %s; Ctrl-C gives up", r.name, time.Since(r.began).Round(time.Second)))
		}
	}
	if !s.connected && len(bars) > 0 {
		bars = nil // how far they are is not known
	}
	if len(bars)+len(waits) == 0 {
		s.ui.SetStatus(nil)
		return
	}
	st := s.style
	s.ui.SetStatus(func(width int) []string {
		var rows []string
		for _, bar := range bars {
			rows = append(rows, st.bar(output.Text(bar.Render(width))))
		}
		for _, w := range waits {
			rows = append(rows, st.dim(w))
		}
		return rows
	})
}

// ask asks for what the board wants to know. One round of questions runs at a time.
func (s *Shell) ask() {
	if s.asking || !s.connected || s.opts.Agent || s.leaving {
		return
	}
	if w := s.board.Wish(); w != 0 {
		s.look(w)
	}
	s.tick()
}

// look asks QEMU.
func (s *Shell) look(w notices.Wish) {
	s.asking = true
	question := s.board.Ask()
	session := s.client.Session()
	s.tasks.Go(func() {
		var status *qapi.StatusInfo
		var jobs []qapi.JobInfo
		var migration *qapi.MigrationInfo
		var jobsErr error
		if w&notices.Status != 0 {
			status, _ = qapi.QueryStatus(s.ctx, s.caller)
		}
		if w&notices.Jobs != 0 {
			jobs, jobsErr = qapi.QueryJobs(s.ctx, s.caller)
		}
		if w&notices.Migration != 0 {
			migration, _ = qapi.QueryMigrate(s.ctx, s.caller)
		}
		s.box.post(func() {
			s.asking = false
			s.drain() // the events that came before the replies
			if !s.connected || s.client.Session() != session {
				return
			}
			if status != nil {
				s.board.SetStatus(status)
			}
			if w&notices.Jobs != 0 && jobsErr == nil {
				s.sayAll(s.board.SetJobs(question, jobs, time.Now()))
			}
			if migration != nil {
				s.sayAll(s.board.SetMigration(question, migration, time.Now()))
			}
			s.show()
			s.ask()
		})
	})
}

// tick looks again after an interval, while there is something that moves.
func (s *Shell) tick() {
	if s.ticking || s.board.Active() == 0 && len(s.running) == 0 || s.leaving {
		return
	}
	s.ticking = true
	s.tasks.Go(func() {
		timer := time.NewTimer(s.interval)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			return
		}
		s.box.post(func() {
			s.ticking = false
			for _, r := range s.running {
				r.slow = time.Since(r.began) >= time.Second
			}
			s.show()
			if w := s.board.Active(); w != 0 && s.connected && !s.asking && !s.opts.Agent {
				s.look(w)
				return
			}
			s.tick()
		})
	})
}

// ownCaller executes the shell's own questions. Their ids say so, so that Verbose does not
// print them.
type ownCaller struct{ async.Caller }

const ownID = "qmp-shell:"

var lastID atomic.Uint64

func (c ownCaller) Do(ctx context.Context, cmd async.Command) (async.Reply, error) {
	cmd.ID = ownID + strconv.FormatUint(lastID.Add(1), 10)
	return c.Caller.Do(ctx, cmd)
}

// newTracer returns the tracer that prints what goes over the wire, without the shell's
// own questions.
func (s *Shell) newTracer() *async.Tracer {
	trace := func(arrow string) func(async.TraceMessage) {
		return func(m async.TraceMessage) {
			var message struct {
				ID json.RawMessage `json:"id"`
			}
			if json.Unmarshal(m.Message, &message) == nil && len(message.ID) > len(ownID) && string(message.ID[1:1+len(ownID)]) == ownID {
				return
			}
			text := string(m.Masked())
			s.box.post(func() {
				if s.verbose && s.ui != nil {
					s.ui.Print(s.style.dim(arrow + " " + output.Text(text)))
				}
			})
		}
	}
	return &async.Tracer{Sent: trace("->"), Received: trace("<-")}
}
