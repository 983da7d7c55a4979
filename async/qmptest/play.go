package qmptest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// play plays the steps. It runs in its own goroutine, which owns the Peer.
func (p *Player) play() {
	defer close(p.done)
	defer p.stop()
	peer := &Peer{p: p}
	defer peer.forget()
	for i := range p.steps {
		p.mu.Lock()
		p.at = i
		p.mu.Unlock()
		if err := p.playStep(i, peer); err != nil {
			p.fail(i, err)
			return
		}
	}
	p.mu.Lock()
	p.at = len(p.steps)
	p.mu.Unlock()
}

// playStep plays one step. A step may end its goroutine, as t.FailNow does; that
// makes the script fail.
func (p *Player) playStep(i int, peer *Peer) error {
	returned := false
	defer func() {
		if !returned {
			p.fail(i, errors.New("it has ended its goroutine, as t.FailNow and t.Fatal do: return an error in a step"))
		}
	}()
	err := p.steps[i].play(peer)
	returned = true
	return err
}

func (p *Player) fail(i int, err error) {
	step := p.steps[i]
	if isTimeout(err) {
		err = fmt.Errorf("the script's time limit of %v passed while the step waited for %s: %w", p.limit, step.waits, err)
	}
	err = fmt.Errorf("qmptest: script step %d of %d, %s: %w", i, len(p.steps), step.name, err)
	p.mu.Lock()
	broken := p.broken || p.opts.MayStop && isTimeout(err)
	if !broken {
		p.failure = err
	}
	p.mu.Unlock()
	if !broken {
		p.t.Errorf("%v", err)
	}
}

// misused fails the test with err and stops the script, which cannot go on. A
// script that was made in a bubble cannot be stopped from outside of it; the end
// of the bubble ends it.
func (p *Player) misused(err error) {
	p.mu.Lock()
	again := p.broken
	p.broken = true
	if p.failure == nil {
		p.failure = err
	}
	p.mu.Unlock()
	if !again {
		p.t.Errorf("%v", err)
	}
	if p.home == "" {
		p.stop()
	}
}

func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// stop ends every wait of play, except in functions given to Do.
func (p *Player) stop() {
	p.mu.Lock()
	conns := append(p.conns, p.waiting...)
	p.conns, p.waiting, p.stopped = nil, nil, true
	p.mu.Unlock()
	p.cancel()
	if p.ln != nil {
		p.ln.Close()
	}
	for _, c := range conns {
		c.Close()
	}
}

// finish runs when the test is over.
func (p *Player) finish() {
	if err := p.home.check("the script"); err != nil {
		p.misused(err) // Play got the testing.T of the test that the bubble is in
		return
	}
	close(p.testOver)
	// After a failure the client may never do what the script waits for.
	if p.opts.MayStop || p.t.Failed() {
		p.mu.Lock()
		p.broken = true
		p.mu.Unlock()
		p.stop()
	}
	grace := time.NewTimer(time.Until(p.deadline) + 5*time.Second)
	defer grace.Stop()
	select {
	case <-p.done: // also if the grace is over, too
		grace.Stop()
	default:
	}
	select {
	case <-p.done:
	case <-grace.C:
		p.stop()
		p.mu.Lock()
		p.broken = true // a failure after this comes too late to be reported
		p.mu.Unlock()
		at, of := p.Step()
		p.t.Errorf("qmptest: script step %d of %d, %s: the step has not returned 5 s after the script's time limit", at, of, p.steps[at].name)
	}
	if p.client != nil {
		p.client.Close() // the test may not have taken it
	}
	p.cleanup()
}
