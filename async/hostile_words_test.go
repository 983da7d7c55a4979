// Tests that nothing from outside reaches an error's text or the log in a form that a
// terminal obeys. The fields of errors have it unchanged.
// The code that they hold: errors.go, log.go and internal/harmless.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// spell is a text that a terminal obeys, as a Go string and as JSON. JSON allows some of
// its characters without an escape.
const (
	spell     = "\x1b[2J\a\x00\u0085\u009b1m\u202e\u2028\x7f\n"
	spellJSON = `\u001b[2J\u0007\u0000\u0085` + "\u009b1m\u202e\u2028\x7f" + `\n`
)

// obeyed returns the first character of text that does harm, or "".
func obeyed(text string) string {
	for _, r := range text {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return fmt.Sprintf("%q", r)
		}
	}
	return ""
}

// A harmfulLog is a handler that keeps each text of the log in which a character does
// harm. It shows them as they are, as a handler for a terminal may do.
type harmfulLog struct {
	mu   sync.Mutex
	seen int
	bad  []string
}

func (h *harmfulLog) Enabled(context.Context, slog.Level) bool { return true }
func (h *harmfulLog) WithAttrs([]slog.Attr) slog.Handler       { return h } // the nickname
func (h *harmfulLog) WithGroup(string) slog.Handler            { return h }
func (h *harmfulLog) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		h.seen++
		if text := a.Value.String(); obeyed(text) != "" {
			h.bad = append(h.bad, fmt.Sprintf("%s: %s has %s: %q", r.Message, a.Key, obeyed(text), text))
		}
		return true
	})
	return nil
}

// Whatever a server says, no error's text and no line of the log has a character that
// does harm. The fields of the errors have the server's words as they came.
// Holds secure.
func TestWordsOfAServerAreHarmless(t *testing.T) {
	t.Parallel()
	negotiating := func(steps ...qmptest.Step) []qmptest.Step {
		return append([]qmptest.Step{qmptest.Greet(), qmptest.Expect("qmp_capabilities")}, steps...)
	}
	refusal := qmptest.Reply(`{"id": $id, "error": {"class": "C` + spellJSON + `", "desc": "D` + spellJSON + `"}}`)
	execute := func(ctx context.Context, c *async.Client) error {
		_, err := c.Execute(ctx, "x"+spell, nil)
		return err
	}
	decode := func(v any) func(ctx context.Context, c *async.Client) error {
		return func(ctx context.Context, c *async.Client) error {
			reply, err := c.Do(ctx, async.Command{Name: "x" + spell})
			if err != nil {
				return err
			}
			return reply.Decode(v)
		}
	}
	for _, tt := range []struct {
		name  string
		steps []qmptest.Step
		call  func(context.Context, *async.Client) error // nil if the connect fails
	}{
		{"an error reply", connected("", qmptest.Expect("x"+spell), refusal), execute},
		{"a malformed reply", connected("", qmptest.Expect("x"+spell), qmptest.Reply(`{"id": $id, "x`+spellJSON+`": "`+spellJSON+`"}`)), execute},
		{"stray messages", connected("", qmptest.Send(`{"`+spellJSON+`":"`+spellJSON+`"}{"id":"`+spellJSON+`","return":{}}`),
			qmptest.Expect("x"+spell), refusal), execute},
		{"an error without an id", connected("", qmptest.Expect("x"+spell),
			qmptest.Reply(`{"error": {"class": "C`+spellJSON+`", "desc": "`+spellJSON+`"}}`), qmptest.HangUp()), execute},
		{"a malformed error without an id", connected("", qmptest.Expect("x"+spell),
			qmptest.Reply(`{"error": "`+spellJSON+`"}`), qmptest.HangUp()), execute},
		{"not JSON", connected("", qmptest.Expect("x"+spell), qmptest.Send("{"+spell), qmptest.HangUp()), execute},
		{"cut off", connected("", qmptest.Expect("x"+spell), qmptest.Send(`{"`+spellJSON), qmptest.HangUp()), execute},
		{"no reply", connected("", qmptest.Expect("x"+spell), qmptest.HangUp()), execute},
		{"a reply that does not fit", connected("", qmptest.Expect("x"+spell),
			qmptest.Return(`{"a`+spellJSON+`": {"`+spellJSON+`": "`+spellJSON+`"}}`)), decode(new(map[string]map[string]int))},
		{"a text that does not fit", connected("", qmptest.Expect("x"+spell), qmptest.Return(`"`+spellJSON+`"`)), decode(new(time.Time))},
		{"a number that is too long", connected("", qmptest.Expect("x"+spell), qmptest.Return(strings.Repeat("9", 5000))), decode(new(any))},
		{
			"an event's data", connected("", qmptest.Send(`{"event":"E`+spellJSON+`","data":{"`+spellJSON+`":1}}`), qmptest.Expect("x"+spell), refusal),
			func(ctx context.Context, c *async.Client) error {
				l := c.NewListener(nil)
				err := execute(ctx, c)
				ev, nextErr := l.Next(ctx)
				return errors.Join(err, nextErr, ev.Decode(new(map[string][]int)))
			},
		},
		{
			"the human monitor", connected("", qmptest.Expect("human-monitor-command"), qmptest.Return(`"Error: `+spellJSON+`\r\n`+spellJSON+`"`)),
			func(ctx context.Context, c *async.Client) error {
				_, err := async.HMP(ctx, c, "x"+spell)
				return err
			},
		},
		{"no greeting", []qmptest.Step{qmptest.Send(`{"` + spellJSON + `":"` + spellJSON + `"}`)}, nil},
		{"a malformed greeting", []qmptest.Step{qmptest.Send(`{"QMP":{"version":"` + spellJSON + `","capabilities":["` + spellJSON + `",1]}}`)}, nil},
		{"another protocol", []qmptest.Step{qmptest.Send("220 " + spell)}, nil},
		{"a refused negotiation", negotiating(refusal), nil},
		{"a malformed reply to the negotiation", negotiating(qmptest.Reply(`{"id": $id, "error": {"` + spellJSON + `": 1}}`)), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				var log harmfulLog
				p := memory(t, tt.steps...)
				c := newClient(t, &async.Options{Dialer: p.Dial, Logger: slog.New(&log), Nickname: "n" + spell})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				errs := []error{c.Connect(ctx, "a"+spell)}
				if tt.call != nil {
					wantNil(t, "Connect", errs[0])
					errs = []error{tt.call(ctx, c)}
				}
				if errs[0] == nil {
					t.Fatal("got no error")
				}
				errs = append(errs, c.Disconnect(ctx))
				_, err := c.Execute(ctx, "x"+spell, nil)
				for _, err := range append(errs, err) {
					if err == nil {
						continue
					}
					for line := range strings.Lines(err.Error()) { // errors.Join makes lines
						if bad := obeyed(strings.TrimSuffix(line, "\n")); bad != "" {
							t.Errorf("the text of a %T has %s: %q", err, bad, err.Error())
						}
					}
				}
				if refused, ok := errors.AsType[*async.ExecuteError](errs[0]); ok && (refused.Desc != "D"+spell || refused.Class != "C"+spell) {
					t.Errorf("the fields of the error have %q and %q, not what the server said", refused.Desc, refused.Class)
				}
				log.mu.Lock()
				defer log.mu.Unlock()
				if log.seen == 0 || len(log.bad) > 0 {
					t.Errorf("the log, of %d texts: %s", log.seen, strings.Join(log.bad, "\n"))
				}
			})
		})
	}
}

// The same for what was recorded elsewhere.
// Holds secure.
func TestWordsOfOthersAreHarmless(t *testing.T) {
	t.Parallel()
	_, parseErr := async.ParseReply("x"+spell, []byte("{"+spell))
	_, eventErr := async.ParseEvent([]byte(`{"event":"` + spellJSON + `"} x` + spell))
	_, idErr := async.New(nil).Do(t.Context(), async.Command{Object: json.RawMessage(`{"execute":"x","id":["` + spellJSON + `"]}`)})
	for _, err := range []error{
		parseErr, eventErr, idErr,
		&async.EventWaitError{Names: []string{spell}, Client: spell, Passed: 1, Last: []string{spell}, Err: io.EOF},
		&async.TLSError{Err: errors.New("x509: valid for " + spell)},
	} {
		if err == nil || obeyed(err.Error()) != "" {
			t.Errorf("%T: %q", err, err)
		}
	}
	if h := (async.Health{Verdict: async.Busy, Unanswered: 1, Oldest: spell}); obeyed(h.String()) != "" {
		t.Errorf("%q", h)
	}
}
