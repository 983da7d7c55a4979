// Package chaos holds a test that drives a real QEMU while it is stopped,
// killed, told to quit and hung up on at random moments. It has no code of its
// own, and the test needs Linux: elsewhere one cannot tell that a process has
// stopped.
//
//	go test ./internal/testing/chaos -rounds=200 -seed=7
//
// In each round every client makes one new connection; where QEMU has died, to
// a new QEMU. Eight goroutines at each client execute commands, in band and out
// of band, and wait for events, and lose their patience at random. Whatever they
// get is accounted for: a reply that carries the caller's own token, or an error
// that says why there is none, and whether the command was sent. Hooks keep
// books of what really went over the wire, and at the end of the round nothing
// may contradict them. Then nothing may be left of the connection: no goroutine,
// no descriptor, no process, no file.
//
// # Who owns what
//
//   - A host is one QEMU and the clients at its monitors. The test's goroutine
//     starts it, and it lives over rounds until one of them ends it.
//   - A round belongs to the test's goroutine: it starts one goroutine per
//     client, strikes, joins them, disconnects, and looks at what is left.
//   - A client's goroutine connects, starts the workers and joins them. While it
//     connects, another one ends the attempt if QEMU is gone.
//   - A worker stops by itself: soon after the round is over, or when it is told
//     a few times that the client is not connected. Everything that it waits for
//     is bounded.
//   - QEMU is left running or dead, never stopped: whoever stops it continues or
//     kills it.
//
// A seed decides everything that the test chooses, with a source of its own for
// every goroutine. What real processes make of it, the seed cannot say: a
// failure comes back soon, not at once.
package chaos
