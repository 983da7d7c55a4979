package async

import (
	"context"
	"errors"
	"os"
)

// SendFiles sends file descriptors before the command that is to use them, with a
// single space byte. (Python's module calls that send_fd_scm.) The server gives them
// to the next command that takes a descriptor, even if another caller sends it. Prefer
// [Command].Files, which are sent with their own command.
//
// SendFiles needs a unix socket. The files belong to the caller, and are not used any
// more when it has returned. It does not wait for the server, except until the server
// takes the byte. Errors are those of [Client.Execute].
func (c *Client) SendFiles(ctx context.Context, files ...*os.File) error {
	const what = "send file descriptors"
	e := c.newEntry(ctx, false)
	defer e.entered()
	s, err := c.session(ctx, e, what, what)
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
