package iotests

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
)

// The tables in testdata/helpers*.json were recorded from the Python original. The helpers
// here have to return the same, with three differences that are on purpose:
//
//   - filters do not change the caller's message;
//   - qmp_to_opts converts values that are not texts;
//   - filter_qmp_event returns a message unchanged that is not an event with a time, since
//     it filters everything that is logged.

// A helperTable has the recorded calls of one helper.
type helperTable struct {
	What   string
	Shared struct{ D jsontext.Value }
	Rows   []helperRow
}

type helperRow struct {
	In      jsontext.Value
	Out     jsontext.Value
	Raises  string
	Changed jsontext.Value `json:"input_changed_to"`

	shared jsontext.Value // the shared value of the table, in the file that the row is from
}

// helperTables returns the tables by name.
func helperTables(t *testing.T) map[string]helperTable {
	t.Helper()
	all := make(map[string]helperTable)
	for _, name := range []string{"helpers.json", "helpers-more.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Tables map[string]helperTable }
		if err := json.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		for table, content := range file.Tables {
			// The tables of one name in two files may have different shared values.
			for i := range content.Rows {
				content.Rows[i].shared = content.Shared.D
			}
			content.Rows = append(all[table].Rows, content.Rows...)
			all[table] = content
		}
	}
	return all
}

// The directories and the format of the recordings. The directories do not exist.
const (
	recordedDir     = "/scratch/dir"
	recordedSockDir = "/scratch/sock"
	recordedFormat  = "qcow2"
)

// replayers has a function for each table. It returns the helper's result for an input, or
// an error if the original raises an exception.
var replayers = map[string]func(in any, shared any) (any, error){
	"dictpath": func(in, shared any) (any, error) {
		return Lookup(subject(in, shared), text(in, "path"))
	},
	"assert_qmp": func(in, shared any) (any, error) {
		return passes(func(it *Test) { it.AssertQMP(subject(in, shared), text(in, "path"), member(in, "value")) })
	},
	"assert_qmp_absent": func(in, shared any) (any, error) {
		return passes(func(it *Test) { it.AssertQMPAbsent(subject(in, shared), text(in, "path")) })
	},
	"filter_qmp": func(in, _ any) (any, error) {
		return FilterQMP(member(in, "qmsg"), recordedFilters[text(in, "filter")]), nil
	},
	"filter_qmp_event":          func(in, _ any) (any, error) { return FilterQMPEvent(unordered(in)), nil },
	"filter_generated_node_ids": overText(FilterGeneratedNodeIDs),
	"filter_testfiles": overText(func(text string) string {
		return filterTestFiles(text, recordedDir, recordedSockDir)
	}),
	"filter_test_dir": overText(func(text string) string {
		return filterTestDir(text, recordedDir, recordedDir)
	}),
	"filter_imgfmt": overText(func(text string) string { return filterImgFmt(text, recordedFormat) }),
	"filter_qmp_testfiles": overMessage(func(text string) string {
		return filterTestFiles(text, recordedDir, recordedSockDir)
	}),
	"filter_qmp_imgfmt":      overMessage(func(text string) string { return filterImgFmt(text, recordedFormat) }),
	"filter_qmp_virtio_scsi": overMessage(FilterVirtioSCSI),
	"filter_nbd_exports":     overText(FilterNBDExports),
	"filter_virtio_scsi":     overText(FilterVirtioSCSI),
	"filter_win32":           overText(FilterWin32),
	"filter_qemu_io":         overText(FilterQemuIO),
	"filter_img_info": func(in, _ any) (any, error) {
		it := &Test{Format: recordedFormat, Dir: recordedDir, sockDir: recordedSockDir}
		return it.FilterImgInfo(text(in, "output"), text(in, "filename")), nil
	},
	"filter_chown":       overText(FilterChown),
	"flatten_qmp_object": func(in, _ any) (any, error) { return FlattenQMP(in), nil },
	"qmp_to_opts":        func(in, _ any) (any, error) { return QMPToOpts(in), nil },
	"ordered_qmp": func(in, _ any) (any, error) {
		dashes := true
		if ms, _ := members(in); len(ms) > 1 {
			dashes = member(in, "conv_keys").(bool)
		}
		return OrderedQMP(member(in, "qmsg"), dashes), nil
	},
}

// elsewhere has the names of the tables that package machine tests.
var elsewhere = []string{"event_match", "events_wait", "get_qmp_events", "qmp_args"}

// Each helper returns what the original returned, and does not change its input.
func TestHelperTables(t *testing.T) {
	tables := helperTables(t)
	for name, table := range tables {
		replay, ok := replayers[name]
		if !ok {
			if !slices.Contains(elsewhere, name) {
				t.Errorf("no function replays the table %s", name)
			}
			continue
		}
		t.Run(name, func(t *testing.T) {
			for i, row := range table.Rows {
				shared := decodeOrdered(t, row.shared)
				in := decodeOrdered(t, row.In)
				before := FormatJSON(in)
				got, err := replay(in, shared)
				checkRow(t, fmt.Sprintf("row %d, %s", i, row.In), name, row, got, err)
				if after := FormatJSON(in); after != before {
					t.Errorf("row %d: the input was changed from %s to %s", i, before, after)
				}
			}
		})
	}
	for _, name := range slices.Concat(elsewhere, slices.Collect(maps.Keys(replayers))) {
		if _, ok := tables[name]; !ok {
			t.Errorf("there is no table %s", name)
		}
	}
}

// The logged arguments of a command are those that are sent, also if two names become one.
func TestLoggedArgsAreSent(t *testing.T) {
	for range 50 {
		args := machine.Args{"a_b-c": 1, "a-b_c": 2, "a_b_c": 3, "d_e": 4, "d-e": 5, "f_g": 6}
		const want = `{"execute": "x", "arguments": {"a-b-c": 2, "d-e": 5, "f-g": 6}}`
		if got := command("x", args); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

// inOrder has the names of the tables in which the order of members matters.
var inOrder = []string{"flatten_qmp_object", "ordered_qmp"}

func checkRow(t *testing.T, what, table string, row helperRow, got any, err error) {
	t.Helper()
	switch {
	case table == "qmp_to_opts" && row.Raises == "TypeError":
		// TestQMPToOptsConverts tests the result.
		return
	case table == "filter_qmp_event" && (row.Raises != "" || string(row.In) == "[]"):
		if in := unordered(decodeOrdered(t, row.In)); err != nil || !machine.Equal(got, in) {
			t.Errorf("%s: %s, %v; it has to return its input", what, FormatJSON(got), err)
		}
		return
	}
	if row.Raises != "" {
		if err == nil {
			t.Errorf("%s: %s; it has to fail (%s)", what, FormatJSON(got), row.Raises)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	want := decodeOrdered(t, row.Out)
	same := machine.Equal(got, want)
	if same && slices.Contains(inOrder, table) {
		same = FormatJSON(got) == FormatJSON(want)
	}
	if !same {
		t.Errorf("%s:\n got %s\nwant %s", what, FormatJSON(got), FormatJSON(want))
	}
}

// recordedFilters are the functions that the table filter_qmp names.
var recordedFilters = map[string]func(key, value any) any{
	"tag": func(key, value any) any { return "<" + FormatJSON(key) + "=" + FormatJSON(value) + ">" },
	"upper": func(_, value any) any {
		if text, ok := value.(string); ok {
			return strings.ToUpper(text)
		}
		return value
	},
}

func overText(f func(string) string) func(in, _ any) (any, error) {
	return func(in, _ any) (any, error) { return f(in.(string)), nil }
}

func overMessage(f func(string) string) func(in, _ any) (any, error) {
	return func(in, _ any) (any, error) { return OverStrings(f)(in), nil }
}

// passes runs an assertion. If it passes, it returns the text that the tables have for
// that.
func passes(assertion func(*Test)) (any, error) {
	failure := failureOf(func(tb TB) { assertion(&Test{TB: tb}) })
	if failure != "" {
		return nil, fmt.Errorf("%s", failure)
	}
	return "passes", nil
}

// subject returns the value to which a row applies the helper.
func subject(in, shared any) any {
	if d := member(in, "d"); d != "$D" {
		return d
	}
	return shared
}

func text(in any, name string) string { return member(in, name).(string) }

func member(in any, name string) any {
	ms, _ := members(in)
	value, _ := find(ms, name)
	return value
}

// decodeOrdered decodes JSON. Objects become async.Members, in their order. $PID is
// replaced by the process's id.
func decodeOrdered(t *testing.T, raw jsontext.Value) any {
	t.Helper()
	if raw == nil {
		return nil
	}
	d := jsontext.NewDecoder(strings.NewReader(strings.ReplaceAll(string(raw), "$PID", fmt.Sprint(os.Getpid()))))
	v, err := readOrdered(d)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return v
}

func readOrdered(d *jsontext.Decoder) (any, error) {
	switch d.PeekKind() {
	case '{':
		obj := async.Members{}
		if _, err := d.ReadToken(); err != nil {
			return nil, err
		}
		for d.PeekKind() != '}' {
			name, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			member := async.Member{Name: name.String()}
			if member.Value, err = readOrdered(d); err != nil {
				return nil, err
			}
			obj = append(obj, member)
		}
		_, err := d.ReadToken()
		return obj, err
	case '[':
		list := []any{}
		if _, err := d.ReadToken(); err != nil {
			return nil, err
		}
		for d.PeekKind() != ']' {
			item, err := readOrdered(d)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err := d.ReadToken()
		return list, err
	}
	raw, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	return normalize(json.RawMessage(raw))
}

// unordered turns each async.Members in v into a Dict.
func unordered(v any) any {
	switch v := v.(type) {
	case async.Members:
		d := make(Dict, len(v))
		for _, m := range v {
			d[m.Name] = unordered(m.Value)
		}
		return d
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = unordered(v[i])
		}
		return list
	}
	return v
}
