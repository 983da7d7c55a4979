//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
)

// These tests show that the checks of the chaos test find faults.

func TestLedgerFindsContradictions(t *testing.T) {
	for name, tt := range map[string]struct {
		sent, received int    // how often the command was sent, and its reply received
		fate           fate   // the result of the call
		cause          string // the result of the disconnect
		want           string // a part of the one fault; "" if there must be none
	}{
		"answered":                  {1, 1, fate{answered, withValue}, inOrder, ""},
		"canceled":                  {1, 0, fate{canceled, sent}, inOrder, ""},
		"canceled, late reply":      {1, 1, fate{canceled, sent}, inOrder, ""},
		"withdrawn":                 {1, 0, fate{canceled, unsent}, inOrder, ""},
		"ended by the peer":         {1, 0, fate{reset, sent}, reset, ""},
		"reply in vain, by a close": {1, 1, fate{closedHere, sent}, inOrder, ""},

		"forgotten":             {1, 1, fate{}, inOrder, "no result"},
		"sent again":            {2, 1, fate{answered, withValue}, inOrder, "sent twice"},
		"answered again":        {1, 2, fate{answered, withValue}, inOrder, "more often than sent"},
		"invented answer":       {1, 0, fate{answered, withError}, inOrder, "never received"},
		"sent nevertheless":     {1, 0, fate{unconnected, unsent}, inOrder, "without a connection"},
		"invented sending":      {0, 0, fate{canceled, sent}, inOrder, "never written"},
		"executed nevertheless": {1, 1, fate{canceled, atWindow}, inOrder, "safe to retry"},
		"lost answer":           {1, 1, fate{endOfFile, sent}, endOfFile, "received and lost"},
		"two causes":            {1, 0, fate{endOfFile, sent}, inOrder, "the result of the disconnect was in order"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			token := l.open()
			msg := fmt.Appendf(nil, `{"text": %q}`, token)
			for range tt.sent {
				l.sent(msg)
			}
			for range tt.received {
				l.received(msg)
			}
			l.ended(token, tt.fate)
			_, faults := l.settle(tt.cause)
			wantFault(t, faults, tt.want)
		})
	}
}

func TestLedgerOverConnections(t *testing.T) {
	for want, f := range map[string]fate{
		"":                             {closedHere, sent},
		"answered in a later":          {closedHere, unsent},
		"is answered in a later conne": {answered, withValue},
	} {
		l := newLedger()
		token := l.open()
		msg := fmt.Appendf(nil, `{"id": %q, "return": {}}`, token)
		l.sent(msg)
		if f.what == answered {
			l.received(msg)
		}
		l.ended(token, f)
		_, faults := l.settle(inOrder)
		wantFault(t, faults, "")
		l.received(msg)
		late, faults := l.settle(inOrder)
		wantFault(t, faults, want)
		if want == "" && late != 1 {
			t.Errorf("%d late replies, want 1", late)
		}
	}
}

func TestLedgerFindsStrangers(t *testing.T) {
	for msg, want := range map[string]string{
		`{"return": {}, "id": 1}`:          "without a token",
		`{"return": "chaos-0-"}`:           "never sent",
		`{"event": "STOP"}`:                "",
		`{"QMP": {}}`:                      "",
		`{"error": {"desc": "chaos-0-x"}}`: "never sent",
	} {
		l := newLedger()
		l.received([]byte(msg))
		_, faults := l.settle(inOrder)
		wantFault(t, faults, want)
	}
}

func wantFault(t *testing.T, faults []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(faults) == 0:
	case want != "" && len(faults) == 1 && strings.Contains(faults[0], want):
	default:
		t.Errorf("got the faults %q, want one with %q, or none if that is empty", faults, want)
	}
}

func TestFateOf(t *testing.T) {
	impatient, cancel := context.WithCancelCause(t.Context())
	cancel(errImpatient)
	hung, cancel := context.WithCancelCause(t.Context())
	cancel(errHang)
	both := errors.Join(context.Canceled, errImpatient)
	interrupted := func(sent bool, note string, err error) error {
		return &async.ExecInterruptedError{Command: "x", Sent: sent, Note: note, Err: err}
	}
	for name, tt := range map[string]struct {
		ctx  context.Context
		err  error
		want fate // the zero fate: nothing explains the error
	}{
		"canceled":             {impatient, interrupted(true, "", both), fate{canceled, sent}},
		"at the window":        {impatient, interrupted(false, "waiting for earlier commands: 8 unanswered", both), fate{canceled, atWindow}},
		"end of file":          {t.Context(), interrupted(false, "", io.EOF), fate{endOfFile, unsent}},
		"not connected":        {t.Context(), &async.StateError{State: async.Idle, Required: async.Running}, fate{unconnected, unsent}},
		"only half of it":      {impatient, interrupted(true, "", errImpatient), fate{}},
		"another's context":    {t.Context(), interrupted(true, "", both), fate{}},
		"a hang":               {hung, interrupted(true, "", errors.Join(context.Canceled, errHang)), fate{}},
		"no class of errors":   {t.Context(), io.EOF, fate{}},
		"an unknown cause":     {t.Context(), interrupted(true, "", errors.New("x")), fate{}},
		"running, not running": {t.Context(), &async.StateError{State: async.Running, Required: async.Running}, fate{}},
	} {
		got, ok := fateOf(tt.ctx, async.Reply{}, tt.err)
		if ok != (tt.want != fate{}) || ok && got != tt.want {
			t.Errorf("%s: got %v, %v; want %v", name, got, ok, tt.want)
		}
	}
	if f, ok := fateOf(t.Context(), async.Reply{}, nil); ok {
		t.Errorf("a reply that is neither value nor error: got %v", f)
	}
}

// A crash at quit is accepted of the versions that were seen to crash, and of no other.
func TestCrashesOfOtherVersionsCount(t *testing.T) {
	for v, want := range map[async.Version]bool{
		{Major: 5, Minor: 2}: true, {Major: 10}: true, {Major: 10, Minor: 1}: false, {Major: 7, Minor: 2}: false, {Major: 11, Minor: 1}: false,
	} {
		if got := crashesAtQuit(v); got != want {
			t.Errorf("%v: got %v, want %v", v, got, want)
		}
	}
}
