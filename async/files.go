package async

import (
	"context"
	"errors"
	"os"
)

// SendFiles sends file descriptors at once, with a single space byte, ahead of
// the command that will use them: the old module's send_fd_scm. The server
// hands them to the next command that takes one, whosever it is; files in
// [Command].Files travel with their own command and are the better choice.
//
// It needs a unix socket. The files stay the caller's. Errors are those of
// [Client.Execute].
func (c *Client) SendFiles(ctx context.Context, files ...*os.File) error {
	const what = "send file descriptors"
	s, err := c.running(what)
	if err != nil {
		return err
	}
	cl := newCall(&outgoing{Command: Command{Name: what, Files: files}})
	if len(files) == 0 {
		return refused(what, errors.New("none given"))
	}
	if err := s.out.CheckFiles(); err != nil {
		return refused(what, err)
	}
	if err := s.takeTurn(ctx); err != nil {
		return s.interrupted(cl, err, "")
	}
	s.wbuf = append(s.wbuf[:0], ' ')
	s.write(cl)

	select {
	case <-cl.decided:
	case <-ctx.Done():
		s.withdraw(cl)
	case <-s.done:
		<-cl.decided // the files are the caller's again when the call returns
	}
	s.mu.Lock()
	sent := cl.begun
	s.mu.Unlock()
	if sent {
		return nil
	}
	select {
	case a := <-cl.reply: // what is wrong with the files
		return a.err
	case <-ctx.Done():
		return s.interrupted(cl, contextError(ctx), "")
	case <-s.done:
		return s.interrupted(cl, s.whyEnded(), "")
	}
}
