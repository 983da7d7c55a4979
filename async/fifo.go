package async

// A fifo is a queue from which any element can be taken at any time, at the same cost
// however long it is. The zero fifo is empty. Whoever has it guards it, and its elements.
type fifo[T any] struct {
	first, last *element[T]
	length      int
}

// An element has a value's place in a fifo. It belongs to at most one fifo at a time.
type element[T any] struct {
	value      T
	prev, next *element[T]
	queue      *fifo[T] // nil if it is in none
}

// push puts e at the end.
func (q *fifo[T]) push(e *element[T]) {
	e.queue, e.prev = q, q.last
	if q.last == nil {
		q.first = e
	} else {
		q.last.next = e
	}
	q.last = e
	q.length++
}

// pop takes the first element, or returns nil if there is none.
func (q *fifo[T]) pop() *element[T] {
	e := q.first
	if e != nil {
		e.remove()
	}
	return e
}

// remove takes e out of its fifo. It returns false if it is in none.
func (e *element[T]) remove() bool {
	q := e.queue
	if q == nil {
		return false
	}
	if e.prev == nil {
		q.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		q.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	q.length--
	e.queue, e.prev, e.next = nil, nil, nil
	return true
}
