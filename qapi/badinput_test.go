package qapi_test

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/qapitest"
	"github.com/goqmp/qmp/qapi"
	"github.com/goqmp/qmp/qapi/support"
)

// A union encodes only if exactly the branch is set that its discriminator names.
func TestUnionFaults(t *testing.T) {
	t.Parallel()
	raw, file := &qapi.BlockdevOptionsRaw{}, &qapi.BlockdevOptionsFile{Filename: "f"}
	for name, tt := range map[string]struct {
		value any
		want  support.UnionError
	}{
		"nothing":          {&qapi.BlockdevOptions{}, support.UnionError{Union: "BlockdevOptions", Member: "driver"}},
		"no branch":        {&qapi.BlockdevOptions{Driver: "file"}, support.UnionError{Union: "BlockdevOptions", Member: "driver", Value: "file"}},
		"two branches":     {&qapi.BlockdevOptions{File: file, Raw: raw}, support.UnionError{Union: "BlockdevOptions", Member: "driver", Set: []string{"file", "raw"}}},
		"another branch":   {&qapi.BlockdevOptions{Driver: "raw", File: file}, support.UnionError{Union: "BlockdevOptions", Member: "driver", Value: "raw", Set: []string{"file"}}},
		"no alternative":   {&qapi.BlockdevOptionsRaw{}, support.UnionError{Union: "BlockdevRef"}},
		"two alternatives": {&qapi.BlockdevRef{Reference: new("n"), Definition: &qapi.BlockdevOptions{}}, support.UnionError{Union: "BlockdevRef", Set: []string{"definition", "reference"}}},
	} {
		for kind, marshal := range map[string]func(any) ([]byte, error){
			"json/v2":       func(v any) ([]byte, error) { return json.Marshal(v) },
			"encoding/json": stdjson.Marshal,
		} {
			_, err := marshal(tt.value)
			var fault *support.UnionError
			if !errors.As(err, &fault) {
				t.Errorf("%s, %s: %v", name, kind, err)
				continue
			}
			if fault.Error() != tt.want.Error() || !strings.Contains(err.Error(), tt.want.Union) {
				t.Errorf("%s, %s: %v, want %v", name, kind, fault, &tt.want)
			}
		}
	}

	// Nothing is sent.
	c := async.New(nil)
	err := qapi.BlockdevAdd(t.Context(), c, &qapi.BlockdevOptions{File: file, Raw: raw})
	if _, ok := errors.AsType[*support.UnionError](err); !ok || !strings.Contains(err.Error(), "blockdev-add") {
		t.Errorf("%v", err)
	}
}

// The discriminator may be left out, and branches nest.
func TestUnionsEncode(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]any{
		`{"driver":"qcow2","node-name":"n","file":{"driver":"file","filename":"f"},"backing":null}`: &qapi.BlockdevOptions{
			NodeName: new("n"),
			Qcow2: &qapi.BlockdevOptionsQcow2{
				File:    qapi.BlockdevRef{Definition: &qapi.BlockdevOptions{File: &qapi.BlockdevOptionsFile{Filename: "f"}}},
				Backing: qapi.BlockdevRefOrNull{Null: true},
			},
		},
		`{"driver":"raw","file":"f0"}`:                                  &qapi.BlockdevOptions{Raw: &qapi.BlockdevOptionsRaw{File: qapi.BlockdevRef{Reference: new("f0")}}},
		`{"transport":"socket","type":"unix","path":"p"}`:               &qapi.MigrationAddress{Socket: &qapi.SocketAddress{Unix: &qapi.UnixSocketAddress{Path: "p"}}},
		`{"cpu-index":0,"qom-path":"","target":"x86_64","thread-id":0}`: &qapi.CPUInfoFast{Target: qapi.SysEmuTargetX86_64},
	} {
		got, err := json.Marshal(v)
		if err != nil || !qapitest.SameJSON(t, got, []byte(want)) {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}

// If a reply does not fit the result's type, the error has the command, the member, and
// both types.
func TestRepliesThatDoNotFit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, tt := range map[string]struct {
		reply string
		call  func(async.Caller) error
		want  []string
	}{
		"another kind": {`{"return":{"running":"yes","status":"running"}}`, func(c async.Caller) error {
			_, err := qapi.QueryStatus(ctx, c)
			return err
		}, []string{"query-status", "/running", "bool", "string"}},
		"too wide": {`{"return":[{"qdev":"","block-size":1,"x":0,"inserted":0}]}`, func(c async.Caller) error {
			_, err := qapi.QueryBlock(ctx, c, nil)
			return err
		}, []string{"query-block", "/0/inserted", "number"}},
		"an integer out of its width": {`{"return":{"qemu":{"major":9223372036854775808,"minor":0,"micro":0},"package":""}}`, func(c async.Caller) error {
			_, err := qapi.QueryVersion(ctx, c)
			return err
		}, []string{"query-version", "/qemu/major", "9223372036854775808"}},
		"in a branch": {`{"return":[{"name":"x","meta-type":"enum","members":1}]}`, func(c async.Caller) error {
			_, err := qapi.QueryQMPSchema(ctx, c)
			return err
		}, []string{"query-qmp-schema", "members", "number"}},
	} {
		err := tt.call(&qapitest.Canned{Reply: tt.reply})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, word := range tt.want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v\nlacks %q", name, err, word)
			}
		}
	}
}

// After a reply that does not fit, and after a union that cannot be encoded, the
// connection goes on.
func TestConnectionGoesOn(t *testing.T) {
	t.Parallel()
	vm, err := qmptest.NewServer(&qmptest.Options{Network: qmptest.Memory})
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	vm.Handle("query-kvm", func(context.Context, *qmptest.Command) (any, error) {
		return map[string]any{"enabled": 1, "present": true}, nil
	})
	vm.Handle("query-version", func(context.Context, *qmptest.Command) (any, error) {
		return map[string]any{"qemu": map[string]any{"major": stdjson.Number("9223372036854775808")}}, nil
	})
	c := async.New(&async.Options{Dialer: vm.Dial})
	if err := c.Connect(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name, call := range map[string]func() error{
		"a reply that does not fit":   func() error { return drop(qapi.QueryKVM(t.Context(), c)) },
		"an integer out of its width": func() error { return drop(qapi.QueryVersion(t.Context(), c)) },
		"two branches": func() error {
			return qapi.BlockdevAdd(t.Context(), c, &qapi.BlockdevOptions{Raw: &qapi.BlockdevOptionsRaw{}, File: &qapi.BlockdevOptionsFile{}})
		},
		"no branch": func() error { return qapi.BlockdevAdd(t.Context(), c, &qapi.BlockdevOptions{}) },
	} {
		if err := call(); err == nil {
			t.Errorf("%s: no error", name)
		}
		if status, err := qapi.QueryStatus(t.Context(), c); err != nil || !status.Running {
			t.Errorf("after %s: %v, %v", name, status, err)
		}
	}
	for _, m := range vm.Received() {
		if m.Name == "blockdev-add" {
			t.Errorf("%s was sent", m)
		}
	}
}

// Decode returns the struct of a known event, and an unknown event unchanged.
func TestDecode(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{"event":"JOB_STATUS_CHANGE","data":{"id":"j","status":"x-new","x-more":1}}`: `{"id":"j","status":"x-new","x-more":1}`,
		`{"event":"STOP"}`: `{}`,
	} {
		ev, err := async.ParseEvent([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		v, err := qapi.Decode(ev)
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := v.(support.Event); !ok || e.EventName() != ev.Name {
			t.Errorf("%s is a %T", raw, v)
		}
		got, err := json.Marshal(v)
		if err != nil || !qapitest.SameJSON(t, got, []byte(want)) {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
	ev, err := async.ParseEvent([]byte(`{"event":"X_NEW","data":{"a":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := qapi.Decode(ev); err != nil {
		t.Error(err)
	} else if same, ok := v.(async.Event); !ok || same.Name != "X_NEW" {
		t.Errorf("%T", v)
	}
	ev, err = async.ParseEvent([]byte(`{"event":"JOB_STATUS_CHANGE","data":{"id":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := qapi.Decode(ev); err == nil || !strings.Contains(err.Error(), "JOB_STATUS_CHANGE") {
		t.Errorf("%v", err)
	}
}

func TestSince(t *testing.T) {
	t.Parallel()
	for key, want := range map[string][2]string{
		"query-status":           {"0.14", ""},
		"blockdev-add.read-only": {"2.12", ""},
		"migrate.channels":       {"8.2", ""},
		"migrate.blk":            {"2.12", "9.0"},
		"query-block.flat":       {"11.0", ""},
		"RunState.colo":          {"2.8", ""},
		"no-such":                {"", ""},

		"BlockdevOptions.file":              {"2.12", ""},
		"blockdev-add.file.filename":        {"2.12", ""},
		"blockdev-add.[qcow2].file":         {"2.12", ""},
		"blockdev-add.[file].aio.io_uring":  {"5.0", ""},
		"blockdev-add.driver.io_uring":      {"7.2", ""},
		"migrate.channels.addr.transport":   {"8.2", ""},
		"query-status.no-such":              {"", ""},
		"JOB_STATUS_CHANGE.status.aborting": {"3.0", ""},
		"blockdev-add.[no-such].file":       {"", ""},
		">blockdev-add":                     {"", ""},
		"#":                                 {"", ""},
		"":                                  {"", ""},
		"query-status ":                     {"", ""},
	} {
		if since, until := qapi.Since(key), qapi.Until(key); since != want[0] || until != want[1] {
			t.Errorf("%q: %q to %q, want %q", key, since, until, want)
		}
	}
}

func TestTypesOfKeys(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"query-status=":                "StatusInfo",
		"StatusInfo.status":            "RunState",
		"query-jobs=":                  "JobInfo",
		"blockdev-add":                 "BlockdevOptions",
		"BlockdevOptions.[qcow2]":      "BlockdevOptionsQcow2",
		"BlockdevOptions.[qcow2].file": "BlockdevRef BlockdevOptions",
		"blockdev-add.[raw].file":      "BlockdevRef BlockdevOptions",
		"blockdev-add.file.driver":     "BlockdevDriver",
		"transaction.actions":          "TransactionAction",
		"JOB_STATUS_CHANGE.status":     "JobStatus",
		"query-status":                 "",
		"StatusInfo.running":           "",
		"no-such":                      "",
		"no-such=":                     "",
		">blockdev-add":                "",
		"":                             "",
	} {
		if got := strings.Join(qapi.Types(key), " "); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}

// The table is sorted, and each of its lines is found.
func TestSinceFindsEachLine(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("since.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(table), "\n"), "\n")
	if !slices.IsSorted(lines) {
		t.Fatal("since.txt is not sorted")
	}
	for _, line := range lines[1:] {
		words := strings.Fields(line)
		if strings.HasPrefix(words[0], ">") {
			continue
		}
		until := ""
		if len(words) > 2 {
			until = words[2]
		}
		if got, last := qapi.Since(words[0]), qapi.Until(words[0]); got != words[1] || last != until {
			t.Errorf("%s: %q to %q", line, got, last)
		}
	}
}

// If the server does not have a part of a command, Checked refuses it and sends nothing.
func TestChecked(t *testing.T) {
	t.Parallel()
	str, opt := "str", []byte("null")
	schema := qapi.NewSchema([]qapi.SchemaInfo{
		{Name: "str", MetaType: "builtin", Builtin: &qapi.SchemaInfoBuiltin{JSONType: "string"}},
		{Name: "migrate", MetaType: "command", Command: &qapi.SchemaInfoCommand{ArgType: "0", RetType: "0"}},
		{Name: "0", MetaType: "object", Object: &qapi.SchemaInfoObject{Members: []qapi.SchemaInfoObjectMember{
			{Name: "uri", Type: str, Default: opt}, {Name: "mode", Type: "1", Default: opt}, {Name: "list", Type: "[2]", Default: opt},
		}}},
		{Name: "1", MetaType: "enum", Enum: &qapi.SchemaInfoEnum{Members: []qapi.SchemaInfoEnumMember{{Name: "a"}, {Name: "b"}}}},
		{Name: "[2]", MetaType: "array", Array: &qapi.SchemaInfoArray{ElementType: "2"}},
		{Name: "2", MetaType: "object", Object: &qapi.SchemaInfoObject{
			Members:  []qapi.SchemaInfoObjectMember{{Name: "type", Type: "1"}},
			Tag:      new("type"),
			Variants: []qapi.SchemaInfoObjectVariant{{Case: "a", Type: "3"}},
		}},
		{Name: "3", MetaType: "object", Object: &qapi.SchemaInfoObject{Members: []qapi.SchemaInfoObjectMember{{Name: "deep", Type: str}}}},
		{Name: "device_add", MetaType: "command", Command: &qapi.SchemaInfoCommand{ArgType: "1", RetType: "0"}},
	})
	for name, tt := range map[string]struct {
		command, args string
		want          string // the path in the error; "" if the command is sent
	}{
		"all there":            {"migrate", `{"uri":"x","mode":"b","list":[{"type":"a","deep":"x"},{"type":"b"}]}`, ""},
		"no such command":      {"quit", `{}`, "quit"},
		"no such argument":     {"migrate", `{"channels":[]}`, "migrate channels"},
		"no such value":        {"migrate", `{"mode":"c"}`, "migrate mode c"},
		"in a list":            {"migrate", `{"list":[{"type":"a"},{"type":"a","other":1}]}`, "migrate list other"},
		"in another's branch":  {"migrate", `{"list":[{"type":"b","deep":"x"}]}`, "migrate list deep"},
		"of a wrong kind":      {"migrate", `{"mode":1,"list":1}`, ""},
		"a device's own names": {"device_add", `{"driver":"x","mac":"y"}`, ""},
	} {
		c := &qapitest.Canned{Reply: `{"return":{}}`}
		_, err := qapi.Checked(c, schema).Do(t.Context(), async.Command{Name: tt.command, Args: stdjson.RawMessage(tt.args)})
		var missing *qapi.UnsupportedError
		switch {
		case tt.want == "":
			if err != nil || len(c.Got) != 1 {
				t.Errorf("%s: %v, %d sent", name, err, len(c.Got))
			}
		case !errors.As(err, &missing) || strings.Join(missing.Path, " ") != tt.want || len(c.Got) != 0:
			t.Errorf("%s: %v, %d sent", name, err, len(c.Got))
		}
	}
	_, err := qapi.Checked(&qapitest.Canned{}, schema).Do(t.Context(), async.Command{Name: "migrate", Args: map[string]any{"channels": 1}})
	if err == nil || err.Error() != "qmp: not sent: the server does not have channels of migrate (since 8.2)" {
		t.Errorf("%v", err)
	}
}
