package record

import (
	"bytes"
	"fmt"
	"net"

	"github.com/goqmp/qmp/internal/proto"
)

// end ends the session as entry i says.
func (s *playing) end(i int) error {
	e := &s.entries[i]
	if e.End.Cause != ByClient {
		if err := s.delay(i); err != nil {
			return err
		}
	}
	switch s.waits = "the client to read"; e.End.Cause {
	case EOF:
		return s.close()
	case Reset, Failed:
		return s.reset()
	case CutOff:
		if err := s.write(orBrace(e.End.Bytes)); err != nil {
			return err
		}
		return s.close()
	case NotJSON:
		b := bytes.Clone(e.End.Bytes)
		if e.End.Shortened || len(b) == 0 {
			b = append(b, 0) // which no JSON has
		}
		return s.garbage(b)
	case NotObject:
		return s.garbage(notObject(e.End.Bytes))
	case TooLarge:
		return s.tooLarge(e.End.Limit)
	case TooDeep:
		return s.garbage(append([]byte(`{"":`), bytes.Repeat([]byte("["), proto.MaxDepth+1)...))
	}
	return s.awaitHangUp("in the recording the client ends the session")
}

// orBrace returns b, or the beginning of a message if that was not recorded.
func orBrace(b []byte) []byte {
	if len(b) == 0 {
		return []byte("{")
	}
	return b
}

// notObject returns JSON that is not an object, and begins with b.
func notObject(b []byte) []byte {
	switch {
	case len(b) == 0:
		return []byte("[]")
	case b[0] == 't' || b[0] == 'f' || b[0] == 'n':
		return append(bytes.Clone(b), "\r\n"...) // the client has to see that the literal is whole
	}
	return b
}

// garbage sends b, at which the client hangs up.
func (s *playing) garbage(b []byte) error {
	if err := s.write(b); err != nil {
		return err
	}
	return s.drain("the client to hang up, since what it was sent is not a message")
}

// tooLarge sends a message of more than limit bytes.
func (s *playing) tooLarge(limit int) error {
	const piece = 64 << 10
	b := bytes.Repeat([]byte("x"), piece)
	if err := s.write([]byte(`{"x":"`)); err != nil {
		return err
	}
	for sent := 0; sent <= limit && !s.gone; sent += piece {
		if err := s.write(b); err != nil {
			return err
		}
	}
	return s.drain(fmt.Sprintf("the client to hang up, since it was sent a message of more than %d bytes", limit))
}

// drain reads until the client hangs up.
func (s *playing) drain(waits string) error {
	s.waits = waits
	for !s.gone {
		s.rcv.Discard()
		if err := s.rcv.Fill(); err != nil {
			if !isGone(err) {
				return err
			}
			s.gone = true
		}
	}
	return nil
}

// close closes the connection so that the client gets an end of file. A system resets a
// socket that is closed with unread bytes: so close first ends the direction to the
// client, and reads until the client has hung up.
func (s *playing) close() error {
	half, ok := s.conn.(interface{ CloseWrite() error })
	_, memory := s.conn.(interface{ Reset() error })
	if ok && !memory {
		if err := half.CloseWrite(); err == nil {
			if err := s.drain("the client to hang up, since the connection has ended"); err != nil {
				return err
			}
		}
	}
	return s.conn.Close()
}

// reset ends the connection so that the client gets a reset. Over a unix socket it gets
// an end of file if it has sent nothing that is unread.
func (s *playing) reset() error {
	switch conn := s.conn.(type) {
	case interface{ Reset() error }:
		return conn.Reset()
	case *net.TCPConn:
		if err := conn.SetLinger(0); err != nil && !isGone(err) {
			return err
		}
	}
	return s.conn.Close()
}
