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
	if len(files) == 0 {
		return refused(what, errors.New("none given"))
	}
	if err := s.out.CheckFiles(); err != nil {
		return refused(what, err)
	}
	cl := newCall(filesAlone, &outgoing{Command: Command{Name: what, Files: files}})
	if err := s.submit(ctx, cl); err != nil {
		return err
	}
	_, err = s.await(ctx, cl)
	return err
}
