package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"net"

	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/async/record"
)

// A Replay says how a recording is served.
type Replay struct {
	Listen string // the address
	Loose  bool   // take commands in another order than in the recording
	Fast   bool   // leave out the delays
	Client string // whose sessions are played, if the recording has several clients
}

// Serve loads the recording in file and plays it to the clients that connect to the
// address, one after another. It returns when all sessions were played. When it listens, it
// calls ready with the address. trace, unless nil, gets each message that a client sends.
func (r Replay) Serve(ctx context.Context, file string, ready func(net.Addr), trace func(json.RawMessage)) error {
	rec, err := record.LoadFile(file)
	if rec == nil {
		return err
	}
	opts := &record.PlayOptions{Client: r.Client, NoDelays: r.Fast, Unordered: r.Loose}
	if trace != nil {
		opts.OnCommand = func(message json.RawMessage, _ int) { trace(message) }
	}
	if _, err := record.NewPlayer(rec, opts); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	ln, err := mux.Listen(ctx, r.Listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	ready(ln.Addr())
	return record.Serve(ctx, ln, rec, opts)
}
