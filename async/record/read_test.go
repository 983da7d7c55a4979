package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goqmp/qmp/async/record"
)

const header = `{"qmp-recording":1,"masked":true}` + "\n"

// A recording that was edited by hand, or is something else: the error has the line, and
// says what is wrong.
func TestBadRecordings(t *testing.T) {
	t.Parallel()
	connect := `{"session":1,"connected":{}}` + "\n"
	ended := `{"session":1,"ended":{"cause":"eof"}}` + "\n"
	last := `{"complete":true}` + "\n"
	for _, tt := range []struct {
		name, file, want string
	}{
		{"empty", "", "line 1: the file is empty"},
		{"blank", "\n \n\n", "line 3: the recording is cut off"},
		{"a log", "qmp: sent\n", `line 1: not a recording: not JSON: "qmp: sent"`},
		{"a list", "[]\n", `line 1: not a recording: not a JSON object: "[]"`},
		{"something else", "{\"QMP\":{}}\n", `line 1: not a recording: its first line has no member "qmp-recording"`},
		{"a later version", `{"qmp-recording":2}` + "\n", "line 1: the recording has version 2 of the format; this program reads version 1"},
		{"no version", `{"qmp-recording":"x"}` + "\n", `line 1: the recording has version "x" of the format`},
		{"a bad time", `{"qmp-recording":1,"time":"now"}` + "\n", `line 1: the member "time" must be a time such as 2026-01-02T15:04:05Z, not "now"`},
		{"a time that is a number", `{"qmp-recording":1,"time":7}` + "\n", `line 1: the member "time" must be a string, not 7`},
		{"masked is not a truth", `{"qmp-recording":1,"masked":"yes"}` + "\n", `line 1: the member "masked" must be true or false, not "yes"`},
		{"no end", header + connect, "line 2: the recording is cut off after this line"},
		{"half a line", header + connect + `{"session":1,"rec`, "line 3: the recording is cut off inside this line"},
		{"half a line in the middle", header + `{"session":1,"conn` + "\n" + ended + last, `line 2: not JSON: "{\"session\":1,\"conn"`},
		{"something after the end", header + connect + ended + last + connect, `line 5: after the last line of the recording comes "{\"session\":1,\"connected\":{}}": the file has two recordings`},
		{"half a line after the end", header + last + `{"x`, "line 3: the recording is cut off inside this line"},
		{"two recordings", header + connect + ended + header, "line 4: a second header: the file has two recordings"},
		{"not an object", header + "7\n", "line 2: not a JSON object"},
		{"nothing known", header + `{"session":1,"x":{}}` + "\n", `line 2: the line has none of the members "connected", "sent", "unsent", "received", "ended", "missing" and "complete": {"session":1,"x":{}}`},
		{"two kinds", header + `{"session":1,"connected":{},"sent":{}}` + "\n", `line 2: the line has both "connected" and "sent"`},
		{"complete and a kind", header + `{"session":1,"connected":{},"complete":true}` + "\n", `line 2: the line has both "complete" and "connected"`},
		{"no session", header + `{"connected":{}}` + "\n", `line 2: the line has no member "session"`},
		{"session 0", header + `{"session":0,"connected":{}}` + "\n", `line 2: the member "session" must be a number from 1, not 0`},
		{"a session with a fraction", header + `{"session":1.5,"connected":{}}` + "\n", `must be a number from 1, not 1.5`},
		{"a bad t", header + `{"t":"soon","session":1,"connected":{}}` + "\n", `line 2: the member "t" must be a number of seconds such as 1.25, not "soon"`},
		{"a negative t", header + `{"t":-1,"session":1,"connected":{}}` + "\n", `not -1`},
		{"a t that is too large", header + `{"t":99999999999,"session":1,"connected":{}}` + "\n", `not 99999999999`},
		{"a client that is a number", header + `{"client":7,"session":1,"connected":{}}` + "\n", `line 2: the member "client" must be a string, not 7`},
		{"connected to a text", header + `{"session":1,"connected":"x"}` + "\n", `line 2: the member "connected" must be an object, not "x"`},
		{"an address that is a number", header + `{"session":1,"connected":{"address":1}}` + "\n", `the member "address" must be a string, not 1`},
		{"sent a text", header + connect + `{"session":1,"sent":"stop"}` + "\n", `line 3: the member "sent" must be a message, which is an object, not "stop"`},
		{"received null", header + connect + `{"session":1,"received":null}` + "\n", `line 3: the member "received" must be a message`},
		{"sent null", header + connect + `{"session":1,"sent":null}` + "\n", `line 3: the member "sent" is null: that is a message of SendFiles, but the line has no member "files"`},
		{"files", header + connect + `{"session":1,"sent":{},"files":-1}` + "\n", `the member "files" must be a number from 0 to 2147483647, not -1`},
		{"omitted", header + connect + `{"session":1,"sent":{},"omitted":1e3}` + "\n", `the member "omitted" must be a number from 0 to 2147483647, not 1e3`},
		{"an unknown cause", header + connect + `{"session":1,"ended":{"cause":"fate"}}` + "\n", `the member "cause" must be one of ["client" "eof" "reset"`},
		{"no cause", header + connect + `{"session":1,"ended":{}}` + "\n", `line 3: the member "ended" has no member "cause"`},
		{"ended by a text", header + connect + `{"session":1,"ended":"eof"}` + "\n", `line 3: the member "ended" must be an object`},
		{"bad base64", header + connect + `{"session":1,"ended":{"cause":"eof","base64":"?"}}` + "\n", `the member "base64" must be base64, not "?"`},
		{"a bad gap", header + `{"missing":{"entries":"x"}}` + "\n", `the member "entries" must be a number`},
		{"a bad reason", header + `{"missing":{"reason":1}}` + "\n", `the member "reason" must be a string`},
		{"a bad number of missing", header + `{"complete":true,"missing":"x"}` + "\n", `the member "missing" must be a number`},
		{"not connected", header + `{"session":1,"sent":{}}` + "\n", `line 2: session 1 has not begun: there is no line with "connected" for it`},
		{"connected twice", header + connect + connect, "line 3: session 1 has already begun"},
		{"after its end", header + connect + ended + `{"session":1,"sent":{}}` + "\n", "line 4: session 1 has already ended, or has never begun"},
		{"ended twice", header + connect + ended + ended, "line 4: session 1 has already ended, or has never begun"},
		{"backwards", header + strings.ReplaceAll(connect+ended, ":1,", ":7,") + connect, "line 4: session 1 begins after session 7 has begun"},
		{"of a client", header + strings.ReplaceAll(connect+ended+ended, `{"session"`, `{"client":"vm","session"`), `line 4: session 1 of client "vm" has already ended`},
		{"unsent alone", header + connect + `{"session":1,"unsent":{}}` + "\n", `line 3: session 1: "unsent" comes without a "sent" before it`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec, err := record.Load(strings.NewReader(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v\nwant %s", err, tt.want)
			}
			var format *record.FormatError
			if !errors.As(err, &format) || format.Line == 0 {
				t.Errorf("%v: not a FormatError with a line", err)
			}
			if cut := errors.Is(err, io.ErrUnexpectedEOF); cut != (strings.Contains(tt.want, "cut off") || tt.name == "empty") {
				t.Errorf("%v: an unexpected end of file: %t", err, cut)
			} else if !cut && rec != nil {
				t.Errorf("%v: a recording came with it", err)
			}
			var last error
			for _, err := range record.Read(strings.NewReader(tt.file)) {
				last = err
			}
			if fmt.Sprint(last) != err.Error() {
				t.Errorf("Read: %v, Load: %v", last, err)
			}
		})
	}
}

// A client that connects again may begin a session before the end of the one before is
// recorded.
func TestSessionsOverlap(t *testing.T) {
	rec := load(t, header+`{"session":1,"connected":{}}
{"session":2,"connected":{}}
{"session":2,"sent":{"execute":"x","id":1}}
{"session":1,"ended":{"cause":"eof"}}
{"session":2,"ended":{"cause":"eof"}}
{"complete":true}`)
	if p, err := record.NewPlayer(rec, nil); err != nil || p.Sessions() != 2 {
		t.Errorf("%v", err)
	}
}

// What a person may add is ignored: blank lines, members that are not known, line ends of
// Windows, white space.
func TestEditedByHand(t *testing.T) {
	file := "\n" + `{"note": "made smaller", "qmp-recording": 1, "masked": false}` + "\r\n\r\n" +
		` {"session": 1, "connected": {"address": "x", "why": 1}, "note": [1]} ` + "\n" +
		`{"session":1, "sent": {"execute": "a\" : b", "id": 1}, "t": 1.5}` + "\n" + `{"complete": true}`
	rec := load(t, file)
	want := []record.Entry{
		{Line: 4, Session: 1, Kind: record.Connected, Address: "x"},
		{Line: 5, Session: 1, Kind: record.Sent, Time: 1500 * time.Millisecond, Message: json.RawMessage(`{"execute":"a\" : b","id":1}`)},
	}
	if diff := cmp.Diff(want, rec.Entries); diff != "" {
		t.Error(diff)
	}
}

// What WriteTo writes, Load reads.
func TestWriteTo(t *testing.T) {
	rec := &record.Recording{
		Header:   record.Header{Version: 1, Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Masked: true},
		Complete: true, Missing: 3,
		Entries: []record.Entry{
			{Time: 1, Client: "ü", Session: 1, Kind: record.Connected, Address: `a"b`},
			{Time: time.Second + time.Millisecond, Client: "ü", Session: 1, Kind: record.Sent, Message: json.RawMessage(`{"execute":"x"}`), Files: 2},
			{Time: 1<<62 + 1, Client: "ü", Session: 1, Kind: record.Unsent, Files: 2},
			{Client: "ü", Session: 1, Kind: record.Received, Message: json.RawMessage("{\"id\":1,\"id\":\"\xff\"}"), Omitted: 7},
			{Kind: record.Missing, Gap: &record.Gap{Entries: 3, Reason: "slow"}},
			{Client: "ü", Session: 1, Kind: record.Ended, End: &record.End{Cause: record.NotJSON, Error: "e", Bytes: []byte("\xff"), Shortened: true}},
			{Client: "ü", Session: 1 << 63, Kind: record.Ended, End: &record.End{Cause: record.TooLarge, Bytes: []byte("text"), Limit: 9}},
		},
	}
	var buf bytes.Buffer
	n, err := rec.WriteTo(&buf)
	if err != nil || n != int64(buf.Len()) {
		t.Fatalf("%d of %d bytes, %v", n, buf.Len(), err)
	}
	again := load(t, buf.String())
	for i := range rec.Entries {
		rec.Entries[i].Line = i + 2
	}
	if diff := cmp.Diff(rec, again); diff != "" {
		t.Errorf("%s\n%s", diff, buf.String())
	}

	rec.Complete = false
	buf.Reset()
	if _, err := rec.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	if _, err := record.Load(&buf); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a recording without its end: %v", err)
	}
	rec.Entries[1].Message = json.RawMessage("{")
	if _, err := rec.WriteTo(&buf); err == nil || !strings.Contains(err.Error(), "entry 1: a Message that is not a JSON object") {
		t.Error(err)
	}
	rec.Entries = make([]record.Entry, 2000)
	for i := range rec.Entries {
		rec.Entries[i] = record.Entry{Session: 1, Kind: record.Connected, Address: "address"}
	}
	for _, room := range []int{0, 40_000} {
		if n, err := rec.WriteTo(&full{room: room, fail: io.ErrClosedPipe}); !errors.Is(err, io.ErrClosedPipe) || n > int64(room) {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
}

// A reader that fails, and lines that are longer than its buffer.
func TestReadersErrors(t *testing.T) {
	long := header + `{"session":1,"connected":{"address":"` + strings.Repeat("x", 200_000) + `"}}` + "\n" + `{"complete":true}` + "\n"
	if rec, err := record.Load(iotest.HalfReader(strings.NewReader(long))); err != nil || len(rec.Entries[0].Address) != 200_000 {
		t.Error(err)
	}
	mine := errors.New("my error")
	_, err := record.Load(io.MultiReader(strings.NewReader(long[:100_000]), iotest.ErrReader(mine)))
	if !errors.Is(err, mine) || !strings.Contains(err.Error(), "after line 1") {
		t.Error(err)
	}
	for range record.Read(strings.NewReader(long)) {
		break // a caller may stop at any entry
	}
}

// Whatever the bytes are, Load returns or refuses, and does not panic. What it returns can
// be written, and is the same when it is read again. NewPlayer does not panic either.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(header))
	f.Add([]byte(recording(`{"t":1.5,"session":1,"sent":{"execute":"c","id":2},"files":1}`, `{"session":1,"unsent":{"execute":"c","id":2},"omitted":5}`,
		`{"session":1,"received":{"event":"E","data":{"x":[1e400,"\ud800"]}}}`, `{"session":1,"ended":{"cause":"cut off","error":"e","base64":"/w==","shortened":true,"limit":4}}`,
		`{"session":2,"connected":{"address":"a"}}`, `{"missing":{"entries":4,"reason":"r"}}`)))
	f.Add([]byte(recording(`{"client":"x","session":5,"connected":{}}`, `{"session":1,"sent":null,"files":2}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := record.Load(bytes.NewReader(b))
		if err != nil {
			var format *record.FormatError
			if !errors.As(err, &format) {
				t.Fatalf("%v is not a FormatError", err)
			}
			if rec == nil {
				return
			}
		}
		var first, second bytes.Buffer
		if _, err := rec.WriteTo(&first); err != nil {
			t.Fatalf("WriteTo: %v", err)
		}
		again, err := record.Load(bytes.NewReader(first.Bytes()))
		if (err == nil) != rec.Complete {
			t.Fatalf("Load of %q: %v", first.Bytes(), err)
		}
		if _, err := again.WriteTo(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("%v:\n%s\nthen\n%s", err, first.Bytes(), second.Bytes())
		}
		_, _ = record.NewPlayer(rec, nil)
	})
}
