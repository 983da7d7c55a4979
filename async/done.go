package async

// A life lasts from a Connect, Attach or Listen until its connection has ended, or
// could not be made. It is what Done and Err show. Client.mu guards it.
type life struct {
	over chan struct{} // closed at the end
	err  error         // why it ended; nil before
}

// end ends the life with err. A nil err is an orderly end. Only the first call counts.
func (l *life) end(err error) {
	if l.err != nil {
		return
	}
	if l.err = err; err == nil {
		l.err = ErrClosed
	}
	close(l.over)
}

// Done returns a channel that is closed when the connection has ended, or could not be
// made. [Client.Err] then says why. Each Connect, Attach and Listen has a channel of
// its own; Done returns that of the newest one. Before the first one, it returns a
// closed channel.
func (c *Client) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life == nil {
		return closedChannel
	}
	return c.life.over
}

// Err returns nil while the channel of [Client.Done] is open. After that it returns
// one of these, until the next Connect, Attach or Listen begins:
//
//   - why the connection ended, as Disconnect returns it ([HungUp] reports whether
//     the server ended it);
//   - [ErrClosed] if Disconnect or Close ended it, or canceled the attempt;
//   - the error of the failed Connect, Attach, Listen or Accept.
//
// Before the first Connect, Attach or Listen it returns a [*StateError].
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life == nil {
		return c.stateError("look at the connection", nil, Running)
	}
	return c.life.err
}

var closedChannel = func() chan struct{} {
	over := make(chan struct{})
	close(over)
	return over
}()
