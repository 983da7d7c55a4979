package socket

import (
	"net"
	"sync"
)

// keepQueued is how large the queue of a pump may be to be kept for the next message.
const keepQueued = 4 << 10

// A pump is the connection below a TLS connection. After the TLS handshake its Write
// never waits: it queues what crypto/tls has encrypted. flush sends the queue, as much
// as the system takes. So a goroutine is only needed while the peer is slow.
//
// Two goroutines may queue bytes: the writer of messages, and the reader of the TLS
// connection, since crypto/tls answers some messages of the protocol by itself.
type pump struct {
	net.Conn
	out  Sender        // writes to Conn; only the holder of turn writes with it
	turn chan struct{} // has one token: the right to send the queue

	mu     sync.Mutex // guards the fields below; held briefly, never across I/O
	direct bool       // Write writes to Conn and waits: during the TLS handshake, and at the end
	held   bool       // the writer is queueing a message, and calls flush after it
	queue  []byte
	sent   int // how many bytes of queue the system has taken; only the holder of turn changes it
}

func newPump(conn net.Conn) *pump {
	p := &pump{Conn: conn, out: NewSender(conn), turn: make(chan struct{}, 1), direct: true}
	p.turn <- struct{}{}
	return p
}

func (p *pump) setDirect(direct bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.direct = direct
}

// prepareClose makes the pump ready for the last message of crypto/tls. It returns
// false if none can be sent, because bytes of an earlier one are queued.
func (p *pump) prepareClose() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.direct = !p.out.Interruptible() // nothing can be sent without waiting
	return len(p.queue) == 0
}

// hold makes Write only queue, until release is called. The writer then calls flush, and
// one system call sends everything.
func (p *pump) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
}

func (p *pump) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = false
}

// Write queues b. What crypto/tls sends by itself it also tries to send.
func (p *pump) Write(b []byte) (int, error) {
	p.mu.Lock()
	if p.direct {
		p.mu.Unlock()
		return p.Conn.Write(b)
	}
	p.queue = append(p.queue, b...)
	held := p.held
	p.mu.Unlock()
	if !held {
		p.nudge()
	}
	return len(b), nil
}

// nudge sends what is queued, as much as the system takes without waiting, unless
// another goroutine is sending: that one then sends this, too. It drops an error, which
// the next read or write meets again.
func (p *pump) nudge() {
	for {
		select {
		case <-p.turn:
		default:
			return
		}
		empty, err := p.drain(false)
		p.turn <- struct{}{}
		if !empty || err != nil || p.isEmpty() {
			return
		}
	}
}

// flush sends what is queued. empty is true if the system has taken everything. If wait
// is true, flush waits until it has. Only the writer of messages calls flush.
func (p *pump) flush(wait bool) (empty bool, err error) {
	for {
		<-p.turn // nudge has it only for a short time
		empty, err = p.drain(wait)
		p.turn <- struct{}{}
		if !empty || err != nil || p.isEmpty() {
			return empty, err
		}
	}
}

// drain sends the queue. The caller holds the turn.
func (p *pump) drain(wait bool) (empty bool, err error) {
	send := p.out.Try
	if wait {
		send = p.out.Send
	}
	for {
		b := p.rest()
		if b == nil {
			return true, nil
		}
		n, err := send(b, nil)
		p.took(n)
		if err != nil || n < len(b) && !wait {
			return false, err
		}
	}
}

// rest returns what is still to be sent, or nil. Its bytes do not change.
func (p *pump) rest() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil
	}
	return p.queue[p.sent:]
}

// took notes that the system has taken n bytes.
func (p *pump) took(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sent += n; p.sent < len(p.queue) {
		return
	}
	p.queue, p.sent = p.queue[:0], 0
	if cap(p.queue) > keepQueued {
		p.queue = nil // so that an idle connection needs little memory
	}
}

func (p *pump) isEmpty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) == 0
}
