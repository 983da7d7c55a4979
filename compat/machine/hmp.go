package machine

import (
	"context"

	"github.com/goqmp/qmp/async"
)

// HMP executes a line of the human monitor, such as "info block", and returns what it
// prints. Line ends in the result are "\n". QEMU reports a failed line only as text:
// if the text is one that [async.HMP] recognizes, the error is an [*async.HMPError].
// Other errors are those of [Machine.Command].
func (m *Machine) HMP(ctx context.Context, line string) (string, error) {
	return async.HMP(ctx, m, line)
}
