package legacy_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/goqmp/qmp/internal/testing/transcripts"
	"github.com/goqmp/qmp/legacy"
)

// TestConformance requires the package to behave as QEMU 7.2's own Python module did
// when the scenarios were recorded. Package transcripts says how they are read. Its
// table of exceptions lists where this package is better on purpose.
func TestConformance(t *testing.T) {
	conformance.Run(t, os.DirFS("testdata"), "scenarios")
}

// TestConformanceMore replays scenarios in the same format that were written for this
// project. They were not recorded from Python: each says what its outcome follows
// from.
func TestConformanceMore(t *testing.T) {
	conformance.Run(t, os.DirFS("testdata"), "scenarios-more")
}

var conformance = &transcripts.Suite{
	Name:    "legacy",
	Version: transcripts.V72,
	New: func(s transcripts.Setup) (transcripts.Client, error) {
		q, err := legacy.New(s.Addr, &legacy.Options{Conn: s.Conn, Server: s.Server, Nickname: s.Nickname, Sync: s.Sync})
		if err != nil {
			return nil, err
		}
		return transcripts.NewCaller(q, conformanceWait, func(call transcripts.Call) (any, error) { return conformanceCall(q, call) }), nil
	},
	ParseAddress: func(text string) (any, error) {
		a, err := legacy.ParseAddress(text)
		switch {
		case err != nil:
			return nil, err
		case a.TCP:
			return []any{a.Host, int64(a.Port)}, nil
		}
		return a.Path, nil
	},
	Classes: map[string]func(*transcripts.Raises, error) error{
		"QMPBadPortError": func(r *transcripts.Raises, err error) error {
			var bad *legacy.BadPortError
			if !errors.As(err, &bad) {
				return fmt.Errorf("holds no %T", bad)
			}
			if r.Message != "" && bad.Error() != r.Message {
				return fmt.Errorf("says %q", bad)
			}
			return nil
		},
	},
}

// conformanceCall makes the calls whose names differ between the two generations.
func conformanceCall(q *legacy.QEMUMonitorProtocol, call transcripts.Call) (any, error) {
	switch call.Name {
	case "cmd":
		var id []string
		if v, ok := call.Arg("cmd_id"); ok {
			text, isText := v.(string)
			if !isText && call.IsTrue("cmd_id", false) {
				return nil, fmt.Errorf("an id is a string: %w", transcripts.NoSuchCall(call))
			}
			id = append(id, text) // "" means none; in Python every false value does
		}
		return transcripts.Dict(q.Cmd(call.Text("name"), call.Object("args"), id...))
	case "command":
		return q.Command(call.Text("name"), call.Object("kwds"))
	}
	return nil, transcripts.NoSuchCall(call)
}

func conformanceWait(w transcripts.Wait) legacy.Wait {
	switch {
	case w.Forever:
		return legacy.Forever
	case w.Limited:
		return legacy.For(w.For)
	}
	return legacy.NoWait
}
