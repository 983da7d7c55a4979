package machine

import (
	"context"

	"github.com/goqmp/qmp/async"
)

// HMP executes a line of the human monitor, such as "info block", and returns what it
// prints, with line ends of one byte. A line that fails, as far as its text tells, is an
// [*async.HMPError]: [async.HMP] says what is recognised. Other errors are those of
// [Machine.Command].
func (m *Machine) HMP(ctx context.Context, line string) (string, error) {
	return async.HMP(ctx, m, line)
}
