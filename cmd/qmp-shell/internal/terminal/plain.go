package terminal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
)

// A plain is a UI that reads lines and prints lines: for a pipe, a file, and a terminal
// that cannot move its cursor. The system's own line editing works there.
type plain struct {
	opts Options
	tty  bool // the prompt is printed

	done  chan struct{} // closed by Close
	close sync.Once

	mu     sync.Mutex // guards what follows; held while a line is written, so that lines do not mix
	prompt string
	open   bool // the prompt is the last thing on the screen
}

func newPlain(opts Options, tty bool) *plain {
	return &plain{opts: opts, tty: tty, prompt: opts.Prompt, done: make(chan struct{})}
}

// Run reads lines until Close or the end of ctx. The goroutine that reads may be left then
// if the input is a terminal: nothing ends a read of one.
func (p *plain) Run(ctx context.Context) error {
	if p.tty {
		interrupts := make(chan os.Signal, 1)
		signal.Notify(interrupts, os.Interrupt)
		defer signal.Stop(interrupts)
		go func() {
			for {
				select {
				case <-interrupts:
					p.opts.Handle(Input{Kind: Interrupt})
				case <-p.done:
					return
				}
			}
		}()
	}
	defer p.Close()
	p.mu.Lock()
	if !p.open { // something may have been printed already
		p.ask(p.prompt)
	}
	p.mu.Unlock()
	failed := make(chan error, 1)
	go func() { failed <- p.read() }()
	select {
	case err := <-failed:
		if err != nil {
			return err
		}
	case <-p.done:
		return nil
	case <-ctx.Done():
		return nil
	}
	p.opts.Handle(Input{Kind: Leave})
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	return nil
}

// read reads lines to the end of the input.
func (p *plain) read() error {
	in := bufio.NewReader(p.opts.In)
	var text string
	for {
		line, err := in.ReadString('\n')
		select {
		case <-p.done:
			return nil
		default:
		}
		text += clean(line)
		more := p.opts.Incomplete != nil && p.opts.Incomplete(strings.TrimSuffix(text, "\n"))
		p.mu.Lock()
		p.open = false
		if more && err == nil {
			p.ask(strings.Repeat(".", 3) + " ")
		}
		p.mu.Unlock()
		if (!more || err != nil) && strings.TrimSpace(text) != "" {
			p.opts.Handle(Input{Kind: Line, Text: strings.TrimSuffix(text, "\n")})
		} else if !more && err == nil {
			p.again()
		}
		if !more {
			text = ""
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// again prints the prompt again.
func (p *plain) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ask(p.prompt)
}

// ask prints a prompt. mu is held.
func (p *plain) ask(prompt string) {
	if p.tty {
		fmt.Fprint(p.opts.Out, prompt)
		p.open = true
	}
}

func (p *plain) Print(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return
	default:
	}
	if p.open {
		fmt.Fprintln(p.opts.Out)
	}
	fmt.Fprintln(p.opts.Out, strings.TrimRight(text, "\n"))
	p.ask(p.prompt)
}

func (p *plain) SetPrompt(prompt string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.prompt == prompt && p.open {
		return
	}
	p.prompt = prompt
	if !p.open {
		p.ask(prompt)
	}
}

// SetStatus does nothing: bars cannot be redrawn.
func (p *plain) SetStatus(func(width int) []string) {}

func (p *plain) Close() { p.close.Do(func() { close(p.done) }) }
