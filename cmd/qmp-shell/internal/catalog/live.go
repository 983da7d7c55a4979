package catalog

import (
	"context"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
)

// liveNames asks the server for names of the moment.
type liveNames struct {
	caller async.Caller
}

func newLiveNames(c async.Caller) *liveNames { return &liveNames{caller: c} }

func (l *liveNames) forget() {}

func (c *Catalog) liveValues(ctx context.Context, s *server, at syntax.Cursor, done *Completion) {}

func (c *Catalog) deviceProperties(ctx context.Context, s *server, at syntax.Cursor, done *Completion) {
}
