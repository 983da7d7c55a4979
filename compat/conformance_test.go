package compat_test

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/goqmp/qmp/compat"
	"github.com/goqmp/qmp/internal/testing/transcripts"
	"github.com/goqmp/qmp/legacy"
)

// TestConformance requires the package to behave as release 0.0.6 of Python's
// qemu.qmp did. The scenarios are those of package legacy, with the outcomes that
// release 0.0.6 had; see package transcripts.
func TestConformance(t *testing.T) {
	conformance.Run(t, os.DirFS("../legacy/testdata"), "scenarios")
}

// TestConformanceMore replays the scenarios that were written for package legacy,
// with the names of this package.
func TestConformanceMore(t *testing.T) {
	conformance.Run(t, os.DirFS("../legacy/testdata"), "scenarios-more")
}

var conformance = &transcripts.Suite{
	Name:    "compat",
	Version: transcripts.V006,
	New: func(s transcripts.Setup) (transcripts.Client, error) {
		opts := &legacy.Options{Server: s.Server, Nickname: s.Nickname, Sync: s.Sync}
		var q *compat.QEMUMonitorProtocol
		var err error
		if s.Conn != nil {
			q, err = compat.NewConn(s.Conn, opts)
		} else {
			q, err = compat.New(s.Addr, opts)
		}
		if err != nil {
			return nil, err
		}
		return transcripts.NewCaller(q, conformanceWait, func(call transcripts.Call) (any, error) { return conformanceCall(q, call) }), nil
	},
	ParseAddress: func(text string) (any, error) {
		a, err := compat.ParseAddress(text)
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
		"AttributeError": func(_ *transcripts.Raises, err error) error {
			if !errors.Is(err, transcripts.ErrNoSuchCall) {
				return errors.New("this package has the call, and Python does not")
			}
			return nil
		},
	},
}

// conformanceCall makes the calls whose names differ between the two generations.
func conformanceCall(q *compat.QEMUMonitorProtocol, call transcripts.Call) (any, error) {
	if !call.Native { // the transcript has the names of the older generation
		switch call.Name {
		case "cmd":
			call.Name = "cmd_raw"
		case "command":
			call.Name = "cmd"
		}
	}
	switch call.Name {
	case "cmd_raw":
		return transcripts.Dict(q.CmdRaw(call.Text("name"), call.Object("args")))
	case "cmd":
		return q.Cmd(call.Text("name"), call.Object("kwds"))
	}
	// A call that Python does not have must not exist in this package either.
	method := strings.ToUpper(call.Name[:1]) + call.Name[1:]
	if _, has := reflect.TypeOf(q).MethodByName(method); has {
		return nil, fmt.Errorf("this package has a method %s that the test does not call", method)
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
