package machine

import "context"

// TB is what [ForTest] needs of a testing.TB.
type TB interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
}

// ForTest is [New] for a test. When the test is over, in whatever way, the
// machine is shut down. An [AbnormalShutdown] fails the test, unless the test
// has called Shutdown or Kill itself before, and a test that has failed shows the
// end of the machine's log.
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
