package agent

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goqmp/qmp/internal/harmless"
)

// Kill ends the process by the signal KILL. See [Cmd.Signal].
func (c *Cmd) Kill(ctx context.Context) error { return c.Signal(ctx, "KILL") }

// Signal sends a signal to the process, by its name without SIG, such as "TERM". The agent
// has no command for that, so a shell in the guest does it: on a guest without /bin/sh
// Signal fails. ctx limits the call; the Cmd's own context may have ended. Children of the
// process are not signaled.
//
// If the process has exited and Wait has returned, another process may have its id.
func (c *Cmd) Signal(ctx context.Context, name string) error {
	if c.pid == 0 {
		return errors.New("agent: Cmd is not started")
	}
	kill := c.client.Command(ctx, "/bin/sh", "-c", `kill -s "$0" "$1"`, name, strconv.FormatInt(c.pid, 10))
	if _, err := kill.Output(); err != nil {
		if exit, ok := errors.AsType[*ExitError](err); ok {
			return fmt.Errorf("signal %s to process %d: %w: %s", name, c.pid, err, harmless.Line(strings.TrimSpace(string(exit.Stderr))))
		}
		return fmt.Errorf("signal %s to process %d: %w", name, c.pid, err)
	}
	return nil
}
