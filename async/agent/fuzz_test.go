package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/async/qmptest"
)

// FuzzResync puts any bytes before the reply of the agent, cut anywhere. The reply is
// found, and what follows is kept. Without the reply, Attach ends with its context, and
// nothing is left.
func FuzzResync(f *testing.F) {
	for _, left := range []string{
		"", "\xff", "\xff{\"return\": 17}\n", "\xff{\"return\": 1", `{"return": {"buf-b64": "AAA`, "\n\n\xff\n", "\xff{\"return\": {}}\n\xff\xff",
		`{"error": {"class": "GenericError", "desc": "JSON parse error, stray '\uFFFD'"}}` + "\n", "\xff" + string(bytes.Repeat([]byte("a"), 300)),
	} {
		f.Add([]byte(left), uint8(1), []byte("rest"))
	}
	f.Fuzz(func(t *testing.T, left []byte, size uint8, rest []byte) {
		const number = -1<<63 + 4711
		stream := fmt.Appendf(bytes.Clone(left), "\xff{\"return\": %d}\n%s", number, rest)
		if bytes.Contains(left, []byte("4711")) {
			return // the fuzzer has found the number; a peer cannot know it
		}
		got, found := agent.Skip(stream, number, int(size)+1)
		if !found || !bytes.Equal(got, rest) {
			t.Errorf("found %v, rest %q, want %q", found, got, rest)
		}
		if _, found := agent.Skip(left, number, int(size)+1); found {
			t.Error("found what is not there")
		}
		synctest.Test(t, func(t *testing.T) {
			client, server := qmptest.Pipe()
			go func() {
				_, _ = server.Write(left)
			}()
			defer server.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := agent.Attach(ctx, client, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Attach: %v", err)
			}
		})
	})
}
