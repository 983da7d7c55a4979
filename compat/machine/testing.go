package machine

import "context"

// A TB is the part of a testing.TB that [ForTest] needs.
type TB interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
}

// ForTest returns a machine as [New] does. When the test ends, however it ends, the
// machine is shut down. If that returns an error, such as an [AbnormalShutdown], the
// test fails. It does not fail if the test itself has called Shutdown or Kill before.
// If the test has failed, the end of the machine's log is logged.
func ForTest(tb TB, binary string, opts *Options) *Machine {
	tb.Helper()
	m := New(binary, opts)
	tb.Cleanup(func() {
		tb.Helper()
		if err := m.Shutdown(context.Background()); err != nil {
			tb.Errorf("%v", err)
		}
		if text := m.output(outputSize); tb.Failed() && text != "" {
			tb.Logf("machine %s: the end of its log:\n%s", m.opts.Name, text)
		}
	})
	return m
}
