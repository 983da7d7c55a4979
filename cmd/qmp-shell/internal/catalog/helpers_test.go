package catalog

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/testing/qapitest"
)

// A machine is a Caller that answers from a table.
type machine struct {
	version string            // of the recorded schema, or ""
	replies map[string]string // by "command" or "command {arguments}"; the value of return

	mu    sync.Mutex // guards the field below
	asked []string
}

// newMachine returns a machine with the recorded schema of a version.
func newMachine(t testing.TB, version string) *machine {
	t.Helper()
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return &machine{version: version, replies: map[string]string{
		"query-qmp-schema": string(qapitest.Introspection(t, version)),
		"query-version":    fmt.Sprintf(`{"qemu":{"major":%d,"minor":%d,"micro":0},"package":""}`, major, minor),
	}}
}

func (m *machine) Do(ctx context.Context, cmd async.Command) (async.Reply, error) {
	if err := ctx.Err(); err != nil {
		return async.Reply{}, err
	}
	name := cmd.Name
	if cmd.Args != nil {
		args, err := proto.AppendObject(nil, cmd.Args)
		if err != nil {
			return async.Reply{}, err
		}
		if string(args) != "{}" {
			name += " " + string(args)
		}
	}
	m.mu.Lock()
	m.asked = append(m.asked, name)
	m.mu.Unlock()
	text, ok := m.replies[name]
	if !ok {
		return async.ParseReply(cmd.Name, []byte(`{"error":{"class":"CommandNotFound","desc":"The command `+cmd.Name+` has not been found"}}`))
	}
	return async.ParseReply(cmd.Name, []byte(`{"return":`+text+`}`))
}

var (
	serversMu sync.Mutex
	servers   = make(map[string]*server) // by version, so that each schema is decoded once; guarded by serversMu
)

// loaded returns a Catalog that has asked m.
func loaded(t testing.TB, m *machine) *Catalog {
	t.Helper()
	serversMu.Lock()
	defer serversMu.Unlock()
	c := New(m)
	if s := servers[m.version]; s != nil {
		c.question = &question{done: make(chan struct{}), server: s}
		close(c.question.done)
		return c
	}
	if err := c.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	if m.version != "" {
		servers[m.version] = c.known()
	}
	return c
}
