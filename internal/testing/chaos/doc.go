// Package chaos has a test that drives a real QEMU. At random moments the test
// stops QEMU, kills it, tells it to quit, or disconnects from it. The package has no
// code except its tests. They need Linux, because other systems cannot tell that a
// process has stopped.
//
//	go test ./internal/testing/chaos -rounds=200 -seed=7
//
// In each round every client makes one new connection, to a new QEMU if the old one
// has exited. For each client, eight goroutines execute commands, in band and out of
// band, and wait for events. At random they cancel what they do. The test checks
// every result: it is a reply with the caller's own token, or an error that says why
// there is no reply and whether the command was sent. Hooks record every message. At
// the end of the round no result may contradict these records, and nothing may be
// left of the connection: no goroutine, descriptor, process or file.
//
// # Who owns what
//
//   - A host is one QEMU and the clients at its monitors. The test's goroutine
//     starts it. It is used in several rounds, until QEMU exits.
//   - A round belongs to the test's goroutine. It starts one goroutine for each
//     client, injects a fault, waits for the goroutines, disconnects, and checks
//     what is left.
//   - A client's goroutine connects, starts the workers and waits for them. While
//     it connects, another goroutine cancels the attempt if QEMU exits.
//   - A worker ends soon after the round is over, or after a few calls that say that
//     the client is not connected. All its waits have a time limit.
//   - After a fault, QEMU is running or has exited. The code that stops it also
//     continues or kills it.
//
// The seed decides everything that the test chooses. Every goroutine has its own
// random numbers. The seed does not decide how real processes are scheduled. So with
// the same seed a failure comes back after some rounds, but not in the same place.
package chaos
