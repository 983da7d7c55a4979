//go:build unix

// Tests with qemu-storage-daemon and the guest agent (rules E3, E9 and E12).
// The code that they hold: handshake.go and receive.go.
package async_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

func TestE3StorageDaemon_QEMU(t *testing.T) {
	t.Parallel()
	d := qemutest.Start(t, qemutest.Command{
		Program: qemutest.StorageDaemon,
		Args:    []string{"--chardev", "socket,id=m,path=qmp,server=on", "--monitor", "chardev=m"},
	})
	c := dialReal(t, d.Path("qmp"), nil)
	ctx := qemutest.Context(t)
	if g := c.Greeting(); g == nil || g.Version.Major < 4 {
		t.Errorf("greeting: got %+v", g)
	}
	events := c.NewListener(nil, "JOB_STATUS_CHANGE")
	defer events.Close()

	mustReal(t, c, "blockdev-create", arguments{
		"job-id":  "j",
		"options": arguments{"driver": "file", "filename": d.Path("disk"), "size": 1 << 20},
	})
	type change struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}
	var states []string
	for !slices.Contains(states, "concluded") {
		ev, err := events.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var ch change
		if err := ev.Decode(&ch); err != nil || ch.ID != "j" {
			t.Fatalf("event %s: %v", ev.Raw(), err)
		}
		states = append(states, ch.Status)
	}
	wantNames(t, "the job's states", states, "created running waiting pending concluded")
	mustReal(t, c, "job-dismiss", arguments{"id": "j"})
	wantNames(t, "after job-dismiss", drained(t, events), "JOB_STATUS_CHANGE")

	mustReal(t, c, "blockdev-add", arguments{"driver": "file", "node-name": "n", "filename": d.Path("disk")})
	nodes := callReal[[]struct {
		Name string `json:"node-name"`
	}](t, c, "query-named-block-nodes", nil)
	if len(nodes) != 1 || nodes[0].Name != "n" {
		t.Errorf("nodes: got %v, want the one that was added", nodes)
	}
	// The daemon offers oob, but none of its commands allows it. It has no machine.
	_, err := c.ExecuteOOB(ctx, "query-yank", nil)
	wantToken(t, err, "query-yank")
	_, err = c.Execute(ctx, "query-status", nil)
	wantToken(t, err, "query-status")

	mustReal(t, c, "quit", nil)
	if err := d.Wait(t); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// startAgent starts a guest agent that listens at the unix socket "qga" in its
// directory.
func startAgent(t *testing.T) *qemutest.Process {
	t.Helper()
	dir := qemutest.Dir(t)
	return qemutest.Start(t, qemutest.Command{
		Program: qemutest.GuestAgent, Dir: dir,
		Args: []string{"-m", "unix-listen", "-p", dir + "/qga", "-t", dir, "-f", dir + "/pid"},
	})
}

// agent returns the options for a guest agent: it does not greet and does not
// negotiate.
func agent() *async.Options {
	return &async.Options{SkipGreeting: true, SkipNegotiation: true, Backoff: async.Every(qemutest.DialEvery)}
}

func TestE12GuestAgent_QEMU(t *testing.T) {
	t.Parallel()
	a := startAgent(t)
	c := newClient(t, agent())
	w := c.WatchRunstate()
	ctx := qemutest.Context(t)
	if err := c.Connect(ctx, a.Path("qga")); err != nil {
		t.Fatal(err)
	}
	if g := c.Greeting(); g != nil {
		t.Errorf("greeting: got %+v of a server that does not greet", g)
	}
	const id = 1<<53 + 1
	if got := callReal[int64](t, c, "guest-sync", arguments{"id": int64(id)}); got != id {
		t.Errorf("guest-sync: got %d, want %d", got, int64(id))
	}
	v, err := c.Execute(ctx, "guest-ping", nil)
	wantValue(t, "guest-ping", v, err, "{}")
	info := callReal[struct {
		Version  string `json:"version"`
		Commands []struct {
			Name    string `json:"name"`
			Enabled bool   `json:"enabled"`
		} `json:"supported_commands"`
	}](t, c, "guest-info", nil)
	if info.Version == "" || len(info.Commands) < 10 {
		t.Errorf("guest-info: got version %q, %d commands", info.Version, len(info.Commands))
	}
	_, err = c.Execute(ctx, "guest-nonsense", nil)
	wantToken(t, err, "guest-nonsense")
	_, err = c.ExecuteOOB(ctx, "guest-ping", nil)
	wantIs(t, "out of band", err, async.ErrNoOOB)

	wantNil(t, "Disconnect", c.Disconnect(ctx))
	wantTransitions(t, w, "IDLE CONNECTING RUNNING DISCONNECTING IDLE")
	if err := c.Connect(ctx, a.Path("qga")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Execute(ctx, "guest-ping", nil); err != nil {
		t.Error(err)
	}
}

// dialAgent returns an Options.Dialer for a guest agent at a socket. It
// connects, and then synchronizes with the agent, so that both sides agree
// where a message begins.
//
// An agent does not notice that its client has gone. It may wait for the rest
// of a message of that client, or still have answers that the client did not
// read. So the Dialer sends a byte 0xFF, at which the agent's parser starts
// again, and guest-sync-delimited with a number that was not used before. It
// drops what the agent sends up to a byte 0xFF, which does not occur in JSON,
// and up to the answer with that number.
func dialAgent(path string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", path)
		if err != nil {
			return nil, err
		}
		stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
		err = resync(conn, rand.Int64())
		if !stop() {
			err = ctx.Err() // the AfterFunc has run or will run: it sets the deadline
		}
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("resync with the agent: %w", err)
		}
		return conn, nil
	}
}

func resync(conn net.Conn, id int64) error {
	if _, err := fmt.Fprintf(conn, "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%d}}", id); err != nil {
		return err
	}
	// It reads one byte at a time, so that it reads nothing that is for the engine.
	r := bufio.NewReaderSize(oneByte{conn}, 16)
	for {
		if _, err := r.ReadBytes(0xff); err != nil {
			return err
		}
		line, err := r.ReadBytes('\n')
		if err != nil {
			return err
		}
		var reply struct {
			Return int64 `json:"return"`
		}
		if json.Unmarshal(line, &reply) == nil && reply.Return == id {
			return nil
		}
	}
}

// oneByte is a reader that reads one byte at a time.
type oneByte struct{ io.Reader }

func (r oneByte) Read(b []byte) (int, error) { return r.Reader.Read(b[:min(1, len(b))]) }

// A client before this one has hung up in the middle of a message. Without the
// synchronization the agent would take this client's bytes for the rest of that
// message.
func TestE12GuestAgentResync_QEMU(t *testing.T) {
	t.Parallel()
	a := startAgent(t)
	ctx := qemutest.Context(t)
	c := newClient(t, agent()) // Connect waits until the agent listens
	if err := c.Connect(ctx, a.Path("qga")); err != nil {
		t.Fatal(err)
	}
	c.Close()

	// speak connects without a resync, sends text, and returns one answer.
	speak := func(text string) (conn net.Conn, answer string) {
		t.Helper()
		conn, err := net.Dial("unix", a.Path("qga"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(qemutest.Patience))
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		if answer, err = bufio.NewReader(oneByte{conn}).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		return conn, answer
	}
	careless := func() {
		t.Helper()
		// When the agent has answered the first command, it has read the rest, too.
		conn, answer := speak(`{"execute": "guest-ping"}{"execute": "guest-ping", "arguments": {"garbage`)
		if answer != "{\"return\": {}}\n" {
			t.Errorf("a good command is answered with %s", answer)
		}
		conn.Close()
	}

	careless()
	conn, answer := speak(`{"execute": "guest-ping"}`)
	if !strings.Contains(answer, "JSON parse error") {
		t.Errorf("answer is %s: the agent dropped half a message by itself, so this test of the synchronization shows nothing", answer)
	}
	// An agent that cannot send an answer exits. So read all answers.
	wantNil(t, "resync", resync(conn, 1))
	conn.Close()

	careless()
	opts := agent()
	opts.Dialer = dialAgent(a.Path("qga"))
	c = newClient(t, opts)
	if err := c.Connect(ctx, "the agent"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		v, err := c.Execute(ctx, "guest-ping", nil)
		wantValue(t, "guest-ping", v, err, "{}")
	}

	// Only the synchronization expects the 0xFF before an answer. The engine does
	// not skip it.
	_, err := c.Execute(ctx, "guest-sync-delimited", arguments{"id": 1})
	if e := wantAs[*async.MessageError](t, "guest-sync-delimited", err); e.Reason != async.NotJSON {
		t.Errorf("got %v, want %s", e, async.NotJSON)
	}
	if err := c.Disconnect(ctx); !strings.Contains(fmt.Sprint(err), "JSON") {
		t.Errorf("Disconnect: got %v, want the cause", err)
	}
}

// An agent does not answer. The Dialer returns when its context ends.
func TestE12GuestAgentThatIsStopped_QEMU(t *testing.T) {
	t.Parallel()
	a := startAgent(t)
	wait := newClient(t, agent())
	if err := wait.Connect(qemutest.Context(t), a.Path("qga")); err != nil {
		t.Fatal(err)
	}
	wait.Close()
	a.Freeze(t)
	opts := agent()
	opts.Dialer = dialAgent(a.Path("qga"))
	c := newClient(t, opts)
	ctx, cancel := context.WithTimeout(qemutest.Context(t), 20*time.Millisecond)
	defer cancel()
	err := c.Connect(ctx, "the agent")
	if e := wantAs[*async.ConnectError](t, "Connect", err); e.Stage != async.StageConnection {
		t.Errorf("failed in stage %s", e.Stage)
	}
	wantIs(t, "Connect", err, context.DeadlineExceeded)
	if errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	wantState(t, c, async.Idle)
}
