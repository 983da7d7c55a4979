package agent

// Skip feeds a stream to the search for the reply with a number, in pieces of at most
// size bytes. It returns what comes after the reply.
func Skip(stream []byte, number int64, size int) (rest []byte, found bool) {
	s := skipper{wanted: number}
	for len(stream) > 0 {
		n := min(size, len(stream))
		if rest, found := s.feed(stream[:n]); found {
			return append(rest[:len(rest):len(rest)], stream[n:]...), true
		}
		stream = stream[n:]
	}
	return nil, false
}
