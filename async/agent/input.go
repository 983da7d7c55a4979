package agent

import (
	"errors"
	"fmt"
	"io"

	"github.com/goqmp/qmp/async"
)

// readInput reads Stdin, and passes it to the program in segments. It is not waited for:
// a Read of Stdin cannot be interrupted.
func (s *stream) readInput() {
	buf := make([]byte, segment)
	for n := 0; ; n++ {
		k, err := s.cmd.Stdin.Read(buf)
		if s.ctx.Err() != nil || s.hasExited() {
			return
		}
		if k > 0 {
			if err := s.pass(n, buf[:k]); err != nil {
				s.inputFailed(err)
				return
			}
		} else {
			n--
		}
		switch {
		case err == io.EOF:
			s.inputFailed(s.put("eof", nil))
			return
		case err != nil:
			// Before the program learns of the end, and may exit.
			s.inputFailed(fmt.Errorf("agent: read Cmd.Stdin: %w", err))
			s.inputFailed(s.put("eof", nil))
			return
		}
	}
}

// inputFailed notes an error of the input, unless the program has exited, which does not
// need to read all its input.
func (s *stream) inputFailed(err error) {
	if err != nil && !s.hasExited() {
		s.fail(err)
	}
}

// pass passes segment n to the program. It waits until few of the segments before it are
// unread.
func (s *stream) pass(n int, b []byte) error {
	if n >= segments {
		if err := s.awaitRead(n - segments); err != nil {
			return err
		}
	}
	name := fmt.Sprintf("in.%d", n)
	if err := s.put(name, b); err != nil {
		return err
	}
	return s.put(name+".ok", nil)
}

// awaitRead waits until the guest has removed segment n.
func (s *stream) awaitRead(n int) error {
	for wait := shortestLook; ; wait = min(wait*3/2, longestLook) {
		var f *File
		err := s.cmd.client.again(s.ctx, func() (err error) {
			f, err = s.cmd.client.Open(s.ctx, fmt.Sprintf("%s/in.%d", s.dir, n))
			return err
		})
		if _, refused := errors.AsType[*async.ExecuteError](err); refused {
			return nil
		}
		if err == nil {
			_ = f.Close() // it was only looked for
		}
		if err == nil {
			err = s.pause(wait, nil)
		}
		if err != nil || s.hasExited() {
			return err
		}
	}
}

// put writes a file in the temporary folder.
func (s *stream) put(name string, b []byte) error {
	return s.cmd.client.again(s.ctx, func() error { return s.putOnce(name, b) })
}

func (s *stream) putOnce(name string, b []byte) error {
	f, err := s.cmd.client.Create(s.ctx, s.dir+"/"+name)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}
