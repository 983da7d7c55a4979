//go:build unix

package agent_test

import (
	"context"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// harmful are the commands that an agent of these tests does not execute, since it runs
// on the machine of the test.
var harmful = []string{
	"guest-shutdown", "guest-suspend-disk", "guest-suspend-ram", "guest-suspend-hybrid", "guest-set-time",
	"guest-set-user-password", "guest-fsfreeze-freeze", "guest-fsfreeze-freeze-list", "guest-fsfreeze-thaw", "guest-fstrim",
	"guest-set-vcpus", "guest-set-memory-blocks", "guest-ssh-add-authorized-keys", "guest-ssh-remove-authorized-keys",
}

// startAgent starts a guest agent on this machine, which listens at the unix socket "qga"
// in its directory. blocked are further commands that it does not execute.
func startAgent(t testing.TB, blocked ...string) *qemutest.Process {
	t.Helper()
	dir := qemutest.Dir(t)
	return qemutest.Start(t, qemutest.Command{
		Program: qemutest.GuestAgent, Dir: dir,
		// -b is --blacklist of QEMU before 6.1, and --block-rpcs since.
		Args: []string{
			"-m", "unix-listen", "-p", dir + "/qga", "-t", dir, "-f", dir + "/pid",
			"-b", strings.Join(append(blocked, harmful...), ","),
		},
	})
}

// waitForSocket are options for an agent that was just started.
func waitForSocket() *agent.Options {
	return &agent.Options{Engine: async.Options{Backoff: async.Every(qemutest.DialEvery)}}
}

// dialReal starts an agent and connects to it.
func dialReal(t testing.TB, blocked ...string) (context.Context, *agent.Client) {
	t.Helper()
	p := startAgent(t, blocked...)
	ctx := qemutest.Context(t)
	a, err := agent.Dial(ctx, p.Path("qga"), waitForSocket())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return ctx, a
}
