package script

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
)

// A Step is one command of a script.
type Step struct {
	Where   string        // where it is written, such as "-c 2" or "boot.qmp:7"; errors begin with it
	Line    string        // a line of the human monitor, or ""
	Command async.Command // if Line is ""
}

// A SyntaxError says that a text is not a command. It was not sent.
type SyntaxError struct {
	Where string // as in Step
	Err   error
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s: %v", e.Where, e.Err) }
func (e *SyntaxError) Unwrap() error { return e.Err }

// Texts returns the steps in texts, such as the values of several options. A command may
// go on in the next text, as on the next line of a file. The name of the option is option.
// With human, each text is a line of the human monitor.
func Texts(option string, texts []string, human bool) iter.Seq2[Step, error] {
	return steps(human, func(yield func(where, text string) bool) error {
		for i, text := range texts {
			where := option
			if len(texts) > 1 {
				where = fmt.Sprintf("%s %d", option, i+1)
			}
			if !yield(where, text) {
				break
			}
		}
		return nil
	})
}

// Lines returns the steps in the lines of r, as they are read. Blank lines are skipped, and
// so are lines that begin with #. The name of r in errors is name.
func Lines(r io.Reader, name string, human bool) iter.Seq2[Step, error] {
	return steps(human, func(yield func(where, text string) bool) error {
		lines := bufio.NewReader(r)
		for n := 1; ; n++ {
			line, err := lines.ReadString('\n')
			if line != "" && !yield(fmt.Sprintf("%s:%d", name, n), line) {
				return nil
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	})
}

// steps parses the texts that read yields.
func steps(human bool, read func(yield func(where, text string) bool) error) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		var pending, where string // the beginning of a command that is not complete
		stopped := false
		var incomplete error
		give := func(s Step, err error) bool {
			stopped = !yield(s, err)
			return !stopped
		}
		err := read(func(at, text string) bool {
			if human {
				if line := strings.TrimSpace(text); line != "" && line[0] != '#' {
					return give(Step{Where: at, Line: line}, nil)
				}
				return true
			}
			if pending == "" {
				where = at
			} else {
				text = pending + "\n" + text
			}
			cmd, err := syntax.Parse(strings.TrimRight(text, "\r\n"))
			pending, incomplete = "", nil
			switch {
			case errors.Is(err, syntax.ErrEmpty):
				return true
			case errors.Is(err, syntax.ErrIncomplete):
				pending, incomplete = strings.TrimRight(text, "\r\n"), err
				return true
			case err != nil:
				give(Step{}, &SyntaxError{where, err})
				stopped = true
				return false
			}
			return give(Step{Where: where, Command: cmd.Message()}, nil)
		})
		switch {
		case stopped:
		case err != nil:
			yield(Step{}, err)
		case incomplete != nil:
			yield(Step{}, &SyntaxError{where, incomplete})
		}
	}
}
