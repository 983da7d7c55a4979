package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/async/qmptest"
)

// number finds the number of guest-sync-delimited.
var number = regexp.MustCompile(`"id": (-?\d+)}}$`)

// heard waits for a whole guest-sync-delimited of the client. It returns everything that
// the client has sent, and the number of the last one.
func heard(p *qmptest.Peer) (all []byte, n int64, err error) {
	conn, err := p.Conn()
	if err != nil {
		return nil, 0, err
	}
	buf := make([]byte, 4096)
	for {
		k, err := conn.Read(buf)
		all = append(all, buf[:k]...)
		if m := number.FindSubmatch(all); m != nil {
			n, err := strconv.ParseInt(string(m[1]), 10, 64)
			return all, n, err
		}
		if err != nil {
			return all, 0, err
		}
	}
}

// synced is a step that waits for a resynchronization, and sends text. In text,
// $sync is the reply that the client wants.
func synced(text string) qmptest.Step {
	return qmptest.Do("synced", func(p *qmptest.Peer) error {
		all, n, err := heard(p)
		if err != nil {
			return err
		}
		if all[0] != 0xff {
			return fmt.Errorf("the client sent %q, which does not begin with 0xFF", all)
		}
		reply := fmt.Appendf(nil, "\xff{\"return\": %d}\n", n)
		return p.Write(bytes.ReplaceAll([]byte(text), []byte("$sync"), reply))
	})
}

// informed are the steps of an agent that answers guest-info with a few commands.
func informed() []qmptest.Step {
	return []qmptest.Step{synced("$sync"), qmptest.Expect("guest-info"), qmptest.Return(info)}
}

const info = `{"version": "7.2.22", "supported_commands": [
	{"name": "guest-ping", "enabled": true, "success-response": true},
	{"name": "guest-sync", "enabled": true, "success-response": true},
	{"name": "guest-exec", "enabled": true, "success-response": true},
	{"name": "guest-exec-status", "enabled": true, "success-response": true},
	{"name": "guest-fsfreeze-status", "enabled": true, "success-response": true},
	{"name": "guest-fsfreeze-freeze", "enabled": true, "success-response": true},
	{"name": "guest-fsfreeze-thaw", "enabled": true, "success-response": true},
	{"name": "guest-get-osinfo", "enabled": false, "success-response": true},
	{"name": "guest-shutdown", "enabled": true, "success-response": false}]}`

// over returns options for a client over dial.
func over(dial func(context.Context) (net.Conn, error)) *agent.Options {
	return &agent.Options{Engine: async.Options{Dialer: dial}}
}

// dialScript connects to an agent that plays steps after the usual beginning.
func dialScript(t *testing.T, steps ...qmptest.Step) *agent.Client {
	t.Helper()
	a, err := agent.Dial(t.Context(), "", over(qmptest.ScriptMemory(t, append(informed(), steps...)...)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// within returns a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// answerSync answers the newest guest-sync. In text, $number is its number.
func answerSync(text string) qmptest.Step {
	return qmptest.Do("answerSync", func(p *qmptest.Peer) error {
		m, _ := p.Last(0)
		var args struct{ ID int64 }
		if err := json.Unmarshal(m.Arguments, &args); err != nil {
			return err
		}
		reply, err := p.Expand(strings.ReplaceAll(text, "$number", strconv.FormatInt(args.ID, 10)))
		if err != nil {
			return err
		}
		return p.Write([]byte(reply))
	})
}

// withID is the usual reply to guest-sync.
const withID = `{"return": $number, "id": $id}`

// second returns the error of a call with two results.
func second[T any](_ T, err error) error { return err }
