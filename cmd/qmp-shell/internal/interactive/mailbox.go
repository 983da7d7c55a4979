package interactive

import "sync"

// A mailbox has what the shell's goroutine is to do, in order. Putting something in never
// waits.
type mailbox struct {
	mu     sync.Mutex
	queue  []func()      // guarded by mu
	filled chan struct{} // has a token if the queue is not empty
}

func newMailbox() *mailbox { return &mailbox{filled: make(chan struct{}, 1)} }

// post adds f.
func (m *mailbox) post(f func()) {
	m.mu.Lock()
	m.queue = append(m.queue, f)
	m.mu.Unlock()
	select {
	case m.filled <- struct{}{}:
	default:
	}
}

// take returns everything, and leaves the mailbox empty.
func (m *mailbox) take() []func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.queue
	m.queue = nil
	return all
}
