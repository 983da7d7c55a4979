package interactive

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/catalog"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
)

func TestFilter(t *testing.T) {
	for _, tt := range []struct{ words, shown, hidden, text string }{
		{"on", "STOP JOB_STATUS_CHANGE", "", "all events are printed"},
		{"off", "", "STOP JOB_STATUS_CHANGE", "no events are printed"},
		{"STOP", "STOP", "RESUME", "the events STOP are printed, but not JOB_STATUS_CHANGE"},
		{"stop resume", "STOP RESUME", "RESET", "the events STOP, RESUME are printed, but not JOB_STATUS_CHANGE"},
		{"block_* -BLOCK_JOB_READY", "BLOCK_JOB_ERROR", "BLOCK_JOB_READY STOP", "the events BLOCK_* are printed, but not BLOCK_JOB_READY, JOB_STATUS_CHANGE"},
		{"-RTC_CHANGE", "STOP", "RTC_CHANGE JOB_STATUS_CHANGE", "all events but JOB_STATUS_CHANGE, RTC_CHANGE are printed"},
		{"+JOB_STATUS_CHANGE", "JOB_STATUS_CHANGE", "STOP", "only the events JOB_STATUS_CHANGE are printed"},
	} {
		f, err := usualEvents().set(strings.Fields(tt.words))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields(tt.shown) {
			if !f.shows(name) {
				t.Errorf("events %s: %s is not printed", tt.words, name)
			}
		}
		for _, name := range strings.Fields(tt.hidden) {
			if f.shows(name) {
				t.Errorf("events %s: %s is printed", tt.words, name)
			}
		}
		if got := f.String(); got != tt.text {
			t.Errorf("events %s: %q, want %q", tt.words, got, tt.text)
		}
	}
	for _, words := range []string{"[", "-", "STOP ["} {
		if _, err := usualEvents().set(strings.Fields(words)); err == nil {
			t.Errorf("events %s is accepted", words)
		}
	}
}

// An event filter that was set is not lost when other events are hidden later.
func TestFilterIsAddedTo(t *testing.T) {
	f, _ := usualEvents().set([]string{"BLOCK_*"})
	f, _ = f.set([]string{"-BLOCK_JOB_READY"})
	if f.shows("STOP") || f.shows("BLOCK_JOB_READY") || !f.shows("BLOCK_JOB_ERROR") {
		t.Errorf("the filter is %s", f)
	}
}

// known returns the language of a machine that has some commands.
func known(t testing.TB) *qmp {
	vm := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory})
	for _, name := range []string{"set_password", "object-add", "blockdev-add", "qom-set"} {
		vm.Handle(name, func(context.Context, *qmptest.Command) (any, error) { return nil, nil })
	}
	c := async.New(&async.Options{Dialer: vm.Dial})
	if err := c.Connect(t.Context(), "vm"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	q := &qmp{catalog: catalog.New(c)}
	if err := q.catalog.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return q
}

func TestMaskOfTexts(t *testing.T) {
	q := known(t)
	for text, want := range map[string]string{
		"query-status": "query-status",
		"set_password protocol=vnc password=geheim":                        "set_password protocol=vnc password=***",
		`set_password password="ge heim" protocol=vnc`:                     "set_password password=*** protocol=vnc",
		"object-add qom-type=secret id=s data=geheim":                      "object-add qom-type=secret id=s data=***",
		"object-add qom-type=iothread id=i":                                "object-add qom-type=iothread id=i",
		`blockdev-add driver=https node-name=n url=x cookie=geheim`:        "blockdev-add driver=https node-name=n url=x cookie=***",
		"qom-set path=/a property=b value=geheim":                          "qom-set path=/a property=b value=***",
		`human-monitor-command command-line="set_password vnc geheim"`:     "human-monitor-command command-line=***",
		`{"execute": "set_password", "arguments": {"password": "geheim"}}`: `{"execute":"set_password","arguments":{"password":"***"}}`,
		`set_password {"password": "geheim"}`:                              `{"execute":"set_password","arguments":{"password":"***"}}`,
		"set_password password=geheim x":                                   "",
		"query-status x":                                                   "query-status x",
		"object_add qom-type=secret id=s data=geheim":                      "",
		"set_pasword protocol=vnc password=geheim":                         "",
		"blockdev-ad driver=https cookie=geheim":                           "",
		`{"execute": "set_pasword", "arguments": {"password": "geheim"}}`:  "",
		"query-statu": "query-statu",
		`blockdev-ad filename=https://u:geheim@x/`:                           "blockdev-ad filename=https://u:***@x/",
		`blockdev-add driver=luks file={"driver":"https","cookie":"geheim"}`: `blockdev-add driver=luks file={"driver":"https","cookie":"***"}`,
	} {
		got := q.mask(text)
		if strings.Contains(got, "geheim") {
			t.Errorf("%s: the secret is in %s", text, got)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	h := &hmp{}
	for text, want := range map[string]string{
		"info block":                            "info block",
		"set_password vnc geheim":               "set_password ***",
		"change vnc password geheim":            "change ***",
		"object_add secret,id=s,data=geheim":    "object_add ***",
		"drive_add 0 file=https://u:geheim@x/y": "drive_add ***",
		"sendkey g":                             "sendkey ***",
		"info block https://u:geheim@x/y":       "info block https://u:***@x/y",
		"  stop ":                               "  stop ",
	} {
		if got := h.mask(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// Whatever is typed, the secret of a command with a password is not in what is kept.
func FuzzMask(f *testing.F) {
	f.Add("set_password protocol=vnc password=", " x=1")
	f.Add(`set_password {"password": "`, `"}`)
	f.Add(`{"execute": "set_password", "arguments": {"password": "`, `"}}`)
	f.Add("transaction( set_password password=", ")")
	q := known(f)
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "geheimgeheim"
		text := before + secret + after
		if !strings.Contains(before, "password") || strings.Contains(before, secret) {
			return
		}
		cmd, err := syntax.Parse(text)
		got := q.mask(text)
		if err == nil && strings.Contains(string(async.MaskCommand(cmd.Wire())), secret) {
			return // it is not where a secret stands
		}
		if strings.Contains(got, secret) {
			t.Fatalf("%s is kept as %s", text, got)
		}
	})
}

func TestSplit(t *testing.T) {
	q := &qmp{}
	for text, want := range map[string]string{
		"stop\ncont":               "stop|cont",
		"stop\n\n# text\ncont\n":   "stop|cont",
		"transaction(\nabort\n)":   "transaction(\nabort\n)",
		"stop\ntransaction(\nabor": "stop|transaction(\nabor",
		"":                         "",
	} {
		if got := strings.Join(q.split(text), "|"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestFailures(t *testing.T) {
	s := New(Options{})
	r := &running{name: "migrate"}
	for _, tt := range []struct {
		err    error
		gaveUp bool
		want   string
	}{
		{&async.ExecuteError{Class: "GenericError", Desc: "no \x1b[2J"}, false, `error GenericError: no \x1b[2J`},
		{&async.ExecInterruptedError{Sent: true, Err: context.Canceled}, true, "gave up on migrate: it was sent, so the server may still execute it"},
		{&async.ExecInterruptedError{Err: context.Canceled}, true, "gave up on migrate: it was not sent"},
		{&async.ExecInterruptedError{Sent: true, Err: io.EOF}, false, "the connection has ended before the reply of migrate: it was sent, so the server may still execute it"},
		{&async.StateError{}, false, "not sent: not connected"},
		{&async.HMPError{Text: "Error: no\n"}, false, "Error: no"},
		{errors.New("other"), false, "other"},
	} {
		r.gaveUp = tt.gaveUp
		if got := s.failure(r, tt.err); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
	}
	for err, want := range map[error]string{
		nil: "this side has ended it", io.EOF: "the server has hung up, as it does when it ends", errors.New("x"): "x",
	} {
		if got := causeText(err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
