package qapi_test

import (
	"context"
	"math"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/qapi"
)

// fixed is a Caller that encodes the arguments as a client does, and whose reply is
// parsed once.
type fixed struct {
	reply async.Reply
	buf   []byte
}

func (f *fixed) Do(_ context.Context, cmd async.Command) (async.Reply, error) {
	if cmd.Args == nil {
		return f.reply, nil
	}
	var err error
	f.buf, err = proto.AppendObject(f.buf[:0], cmd.Args)
	return f.reply, err
}

// A pair is a typed call, and the same call with structs that a user would write.
type pair struct {
	name   string
	reply  string
	typed  func(context.Context, async.Caller) error
	byHand func(context.Context, async.Caller) error
}

// The arguments of the calls below are made once: making them is not part of a call.
var (
	setSpeed       = &qapi.BlockJobSetSpeedArguments{Device: "job0", Speed: 1 << 20}
	setSpeedByHand = &struct {
		Device string `json:"device"`
		Speed  int64  `json:"speed"`
	}{"job0", 1 << 20}

	netdev       = &qapi.Netdev{ID: "n0", User: &qapi.NetdevUserOptions{Hostname: new("h"), Restrict: new(true)}}
	netdevByHand = &struct {
		Type     string  `json:"type"`
		ID       string  `json:"id"`
		Hostname *string `json:"hostname,omitempty"`
		Restrict *bool   `json:"restrict,omitempty"`
	}{"user", "n0", new("h"), new(true)}

	node = &qapi.BlockdevOptions{
		NodeName: new("disk"), ReadOnly: new(true),
		Qcow2: &qapi.BlockdevOptionsQcow2{File: qapi.BlockdevRef{Definition: &qapi.BlockdevOptions{
			NodeName: new("file"), File: &qapi.BlockdevOptionsFile{Filename: "/images/disk.qcow2"},
		}}},
	}
	nodeByHand = &nodeStruct{"qcow2", new("disk"), new(true), &fileStruct{"file", new("file"), "/images/disk.qcow2"}}
)

type (
	nodeStruct struct {
		Driver   string      `json:"driver"`
		NodeName *string     `json:"node-name,omitempty"`
		ReadOnly *bool       `json:"read-only,omitempty"`
		File     *fileStruct `json:"file"`
	}
	fileStruct struct {
		Driver   string  `json:"driver"`
		NodeName *string `json:"node-name,omitempty"`
		Filename string  `json:"filename"`
	}
)

// drop returns err.
func drop[T any](_ T, err error) error { return err }

var pairs = []pair{
	{
		name:  "a struct",
		reply: `{"status":"running","running":true}`,
		typed: func(ctx context.Context, c async.Caller) error { return drop(qapi.QueryStatus(ctx, c)) },
		byHand: func(ctx context.Context, c async.Caller) error {
			type status struct {
				Running bool   `json:"running"`
				Status  string `json:"status"`
			}
			return drop(async.Call[*status](ctx, c, "query-status", nil))
		},
	},
	{
		name: "a list of unions",
		reply: `[{"type":"mirror","device":"job0","len":1073741824,"offset":65536,"busy":true,"paused":false,"speed":0,` +
			`"io-status":"ok","ready":false,"status":"running","auto-finalize":true,"auto-dismiss":true,"actively-synced":false}]`,
		typed: func(ctx context.Context, c async.Caller) error { return drop(qapi.QueryBlockJobs(ctx, c)) },
		byHand: func(ctx context.Context, c async.Caller) error {
			type job struct {
				Type           string  `json:"type"`
				Device         string  `json:"device"`
				Len            int64   `json:"len"`
				Offset         int64   `json:"offset"`
				Busy           bool    `json:"busy"`
				Paused         bool    `json:"paused"`
				Speed          int64   `json:"speed"`
				IOStatus       string  `json:"io-status"`
				Ready          bool    `json:"ready"`
				Status         string  `json:"status"`
				AutoFinalize   bool    `json:"auto-finalize"`
				AutoDismiss    bool    `json:"auto-dismiss"`
				ActivelySynced *bool   `json:"actively-synced"`
				Error          *string `json:"error"`
			}
			return drop(async.Call[[]job](ctx, c, "query-block-jobs", nil))
		},
	},
	{
		name: "a union in a struct",
		reply: `{"virtual-size":1073741824,"filename":"/images/disk.qcow2","format":"qcow2","actual-size":200704,"dirty-flag":false,"cluster-size":65536,` +
			`"format-specific":{"type":"qcow2","data":{"compat":"1.1","compression-type":"zlib","lazy-refcounts":false,"refcount-bits":16,"corrupt":false,"extended-l2":false}}}`,
		typed: func(ctx context.Context, c async.Caller) error {
			return drop(async.Call[*qapi.ImageInfo](ctx, c, "x", nil))
		},
		byHand: func(ctx context.Context, c async.Caller) error {
			type specific struct {
				Type string `json:"type"`
				Data struct {
					Compat          string  `json:"compat"`
					CompressionType string  `json:"compression-type"`
					LazyRefcounts   *bool   `json:"lazy-refcounts"`
					RefcountBits    int64   `json:"refcount-bits"`
					Corrupt         *bool   `json:"corrupt"`
					ExtendedL2      *bool   `json:"extended-l2"`
					DataFile        *string `json:"data-file"`
				} `json:"data"`
			}
			type image struct {
				Filename       string    `json:"filename"`
				Format         string    `json:"format"`
				VirtualSize    int64     `json:"virtual-size"`
				ActualSize     *int64    `json:"actual-size"`
				DirtyFlag      *bool     `json:"dirty-flag"`
				ClusterSize    *int64    `json:"cluster-size"`
				Encrypted      *bool     `json:"encrypted"`
				FormatSpecific *specific `json:"format-specific"`
			}
			return drop(async.Call[*image](ctx, c, "x", nil))
		},
	},
	{
		name: "many unions",
		reply: `[{"name":"block-job-cancel","ret-type":"0","meta-type":"command","arg-type":"120"},` +
			`{"name":"120","meta-type":"object","members":[{"name":"device","type":"str"},{"name":"force","default":null,"type":"bool"}]},` +
			`{"name":"str","meta-type":"builtin","json-type":"string"},{"name":"[120]","element-type":"120","meta-type":"array"},` +
			`{"name":"7","members":[{"name":"a"},{"name":"b"}],"meta-type":"enum","values":["a","b"]},` +
			`{"name":"STOP","meta-type":"event","arg-type":"0"}]`,
		typed: func(ctx context.Context, c async.Caller) error { return drop(qapi.QueryQMPSchema(ctx, c)) },
		byHand: func(ctx context.Context, c async.Caller) error {
			type member struct {
				Name     string   `json:"name"`
				Type     string   `json:"type"`
				Default  *any     `json:"default"`
				Features []string `json:"features"`
			}
			type variant struct {
				Case string `json:"case"`
				Type string `json:"type"`
			}
			type info struct {
				Name        string    `json:"name"`
				MetaType    string    `json:"meta-type"`
				Features    []string  `json:"features"`
				JSONType    *string   `json:"json-type"`
				ElementType *string   `json:"element-type"`
				ArgType     *string   `json:"arg-type"`
				RetType     *string   `json:"ret-type"`
				AllowOOB    *bool     `json:"allow-oob"`
				Members     []member  `json:"members"`
				Values      []string  `json:"values"`
				Tag         *string   `json:"tag"`
				Variants    []variant `json:"variants"`
			}
			return drop(async.Call[[]info](ctx, c, "query-qmp-schema", nil))
		},
	},
	{
		name:  "arguments",
		reply: `{}`,
		typed: func(ctx context.Context, c async.Caller) error {
			return qapi.BlockJobSetSpeed(ctx, c, setSpeed)
		},
		byHand: func(ctx context.Context, c async.Caller) error {
			return execute(ctx, c, "block-job-set-speed", setSpeedByHand)
		},
	},
	{
		name:  "a union as arguments",
		reply: `{}`,
		typed: func(ctx context.Context, c async.Caller) error {
			return qapi.NetdevAdd(ctx, c, netdev)
		},
		byHand: func(ctx context.Context, c async.Caller) error {
			return execute(ctx, c, "netdev_add", netdevByHand)
		},
	},
	{
		name:  "a union in a union",
		reply: `{}`,
		typed: func(ctx context.Context, c async.Caller) error {
			return qapi.BlockdevAdd(ctx, c, node)
		},
		byHand: func(ctx context.Context, c async.Caller) error {
			return execute(ctx, c, "blockdev-add", nodeByHand)
		},
	},
}

// execute executes a command as a user without typed calls does.
func execute(ctx context.Context, c async.Caller, command string, args any) error {
	reply, err := c.Do(ctx, async.Command{Name: command, Args: args})
	if err != nil {
		return err
	}
	return reply.Err()
}

// codec returns a Caller that encodes the arguments of p's calls, and decodes their
// reply. It has no connection.
func (p *pair) codec(t testing.TB) async.Caller {
	t.Helper()
	r, err := async.ParseReply(p.name, []byte(`{"return":`+p.reply+`}`))
	if err != nil {
		t.Fatal(err)
	}
	return &fixed{reply: r}
}

// client returns a client whose server gives p's reply to every command.
func (p *pair) client(t testing.TB) async.Caller {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "qmp"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var reply []byte
		for messages := proto.NewFramer(conn, -1, nil); ; {
			m, err := messages.Next()
			if err != nil {
				return
			}
			proto.Members(m, func(name string, value []byte) bool {
				if name == "id" {
					reply = proto.AppendReturn(reply[:0], []byte(p.reply), value)
				}
				return true
			})
			if _, err := conn.Write(reply); err != nil {
				return
			}
		}
	}()
	c := async.New(&async.Options{SkipGreeting: true, SkipNegotiation: true})
	if err := c.Connect(t.Context(), listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// BenchmarkTyped compares typed calls with the same calls into structs written by hand:
// once without a connection, which leaves encoding and decoding, and once with a client
// and a server. of-by-hand is the best time of a typed call divided by the best time of
// the other, in turns.
func BenchmarkTyped(b *testing.B) {
	for _, p := range pairs {
		for kind, caller := range map[string]func(testing.TB) async.Caller{"codec": p.codec, "call": p.client} {
			b.Run(p.name+"/"+kind, func(b *testing.B) {
				c, ctx := caller(b), b.Context()
				best := [2]time.Duration{math.MaxInt64, math.MaxInt64}
				const turn = 200 // calls
				b.ReportAllocs()
				for b.Loop() {
					for i, call := range []func(context.Context, async.Caller) error{p.typed, p.byHand} {
						start := time.Now()
						for range turn {
							if err := call(ctx, c); err != nil {
								b.Fatal(err)
							}
						}
						best[i] = min(best[i], time.Since(start))
					}
				}
				b.ReportMetric(float64(best[0])/turn, "ns/typed")
				b.ReportMetric(float64(best[0])/float64(best[1]), "of-by-hand")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
