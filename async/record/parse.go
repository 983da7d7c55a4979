package record

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/internal/proto"
)

// valid reports whether a line is JSON. A message in it may have what a Recorder was
// sent: repeated names, and invalid UTF-8.
func valid(line []byte) bool {
	return jsontext.Value(line).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// A line reads the members of one object of the file. It keeps the first error.
type line struct{ err error }

// each calls f for each member of obj, which must be an object, unless an error came
// before. Members that f does not know are ignored.
func (l *line) each(what string, obj []byte, f func(name string, value []byte)) {
	if l.err != nil {
		return
	}
	if !proto.IsObject(obj) {
		l.err = fmt.Errorf("%s must be an object, not %s", what, shorten(obj))
		return
	}
	proto.Members(obj, func(name string, value []byte) bool {
		f(name, value)
		return l.err == nil
	})
}

// wrong keeps an error about the member name.
func (l *line) wrong(name string, value []byte, want string) {
	if l.err == nil {
		l.err = fmt.Errorf("the member %q must be %s, not %s", name, want, shorten(value))
	}
}

func (l *line) count(name string, value []byte) int {
	n, err := strconv.ParseUint(string(value), 10, 31)
	if err != nil {
		l.wrong(name, value, "a number from 0 to 2147483647")
	}
	return int(n)
}

func (l *line) text(name string, value []byte) string {
	text, ok := proto.Text(value)
	if !ok {
		l.wrong(name, value, "a string")
	}
	return text
}

func (l *line) truth(name string, value []byte) bool {
	switch string(value) {
	case "true":
		return true
	case "false":
	default:
		l.wrong(name, value, "true or false")
	}
	return false
}

// seconds returns a number of seconds, as appendSeconds writes it.
func (l *line) seconds(name string, value []byte) time.Duration {
	d, err := time.ParseDuration(string(value) + "s")
	if err != nil || d < 0 {
		l.wrong(name, value, "a number of seconds such as 1.25")
	}
	return d
}

// object checks a line.
func (l *line) object(text []byte) {
	switch {
	case !valid(text):
		l.err = fmt.Errorf("not JSON: %q", shorten(text))
	case !proto.IsObject(text):
		l.err = fmt.Errorf("not a JSON object: %q", shorten(text))
	}
}

// parseHeader reads the first line.
func parseHeader(text []byte, h *Header) error {
	var l line
	l.object(text)
	if l.err != nil {
		return fmt.Errorf("not a recording: %w", l.err)
	}
	var version []byte
	l.each("the line", text, func(name string, value []byte) {
		switch name {
		case headerName:
			version = value
		case "time":
			if err := h.Time.UnmarshalText([]byte(l.text(name, value))); err != nil {
				l.wrong(name, value, "a time such as 2026-01-02T15:04:05Z")
			}
		case "masked":
			h.Masked = l.truth(name, value)
		case "stable":
			h.Stable = l.truth(name, value)
		}
	})
	if version == nil {
		return fmt.Errorf("not a recording: its first line has no member %q: %q", headerName, shorten(text))
	}
	if string(version) != strconv.Itoa(FormatVersion) {
		return fmt.Errorf("the recording has version %s of the format; this program reads version %d", shorten(version), FormatVersion)
	}
	h.Version = FormatVersion
	return l.err
}

// parseLine reads any other line into e. complete says that it is the last line of a
// recording, and missing is what that line has.
func parseLine(text []byte, e *Entry, missing *int) (complete bool, err error) {
	var l line
	l.object(text)
	var content []byte
	l.each("the line", text, func(name string, value []byte) {
		switch name {
		case headerName:
			l.err = errors.New("a second header: the file has two recordings, or lines are out of order")
		case completeName:
			complete = l.truth(name, value)
		case "t":
			e.Time = l.seconds(name, value)
		case "client":
			e.Client = l.text(name, value)
		case "session":
			n, err := strconv.ParseUint(string(value), 10, 64)
			if err != nil || n == 0 {
				l.wrong(name, value, "a number from 1")
			}
			e.Session = n
		case "files":
			e.Files = l.count(name, value)
		case "omitted":
			e.Omitted = l.count(name, value)
		case string(Missing):
			if !proto.IsObject(value) { // that of the last line
				*missing = l.count(name, value)
				return
			}
			fallthrough
		case string(Connected), string(Sent), string(Unsent), string(Received), string(Ended):
			if e.Kind != "" {
				l.err = fmt.Errorf("the line has both %q and %q", e.Kind, name)
				return
			}
			e.Kind, content = Kind(name), value
		}
	})
	switch {
	case l.err != nil:
	case complete && e.Kind != "":
		l.err = fmt.Errorf("the line has both %q and %q", completeName, e.Kind)
	case complete:
	case e.Kind == "":
		l.err = fmt.Errorf("the line has none of the members %q, %q, %q, %q, %q, %q and %q: %s",
			Connected, Sent, Unsent, Received, Ended, Missing, completeName, shorten(text))
	case e.Kind != Missing && e.Session == 0:
		l.err = fmt.Errorf("the line has no member \"session\": %s", shorten(text))
	default:
		l.content(e, content)
	}
	return complete, l.err
}

// content reads the member that says what happened.
func (l *line) content(e *Entry, value []byte) {
	what := fmt.Sprintf("the member %q", e.Kind)
	switch e.Kind {
	case Connected:
		l.each(what, value, func(name string, value []byte) {
			if name == "address" {
				e.Address = l.text(name, value)
			}
		})
	case Ended:
		e.End = l.end(what, value)
	case Missing:
		e.Gap = &Gap{}
		l.each(what, value, func(name string, value []byte) {
			switch name {
			case "entries":
				e.Gap.Entries = l.count(name, value)
			case "reason":
				e.Gap.Reason = l.text(name, value)
			}
		})
	default:
		switch {
		case proto.IsObject(value):
			e.Message = proto.AppendMasked(nil, value, nil)
		case string(value) != "null" || e.Kind == Received:
			l.wrong(string(e.Kind), value, "a message, which is an object")
		case e.Files == 0:
			l.err = fmt.Errorf("the member %q is null: that is a message of SendFiles, but the line has no member \"files\"", e.Kind)
		}
	}
}

func (l *line) end(what string, value []byte) *End {
	end := &End{}
	l.each(what, value, func(name string, value []byte) {
		switch name {
		case "cause":
			end.Cause = Cause(l.text(name, value))
			if !slices.Contains(causes, end.Cause) {
				l.wrong(name, value, fmt.Sprintf("one of %q", causes))
			}
		case "error":
			end.Error = l.text(name, value)
		case "bytes":
			end.Bytes = []byte(l.text(name, value))
		case "base64":
			var err error
			if end.Bytes, err = base64.StdEncoding.DecodeString(l.text(name, value)); err != nil {
				l.wrong(name, value, "base64")
			}
		case "shortened":
			end.Shortened = l.truth(name, value)
		case "limit":
			end.Limit = l.count(name, value)
		}
	})
	if l.err == nil && end.Cause == "" {
		l.err = fmt.Errorf("%s has no member \"cause\"", what)
	}
	return end
}
