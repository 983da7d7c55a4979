package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/record"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/catalog"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/tools"
	"github.com/goqmp/qmp/qapi"
)

// with connects to address, calls f with the client, and disconnects.
func (a *app) with(ctx context.Context, address string, f func(c *async.Client) error) error {
	s, err := a.open(ctx, address, nil)
	if err != nil {
		return err
	}
	return errors.Join(f(s.client), s.close())
}

// addressed reports whether something other than an argument tells the address.
func (a *app) addressed() bool {
	return a.grammar.Socket != "" || a.program != nil || os.Getenv(socketVariable) != ""
}

// resolve returns the path of an object and the address. If there is only one argument, and
// nothing else tells the address, that argument is the address.
func (o *objects) resolve(a *app) (path, address string) {
	if o.Address == "" && !a.addressed() {
		return "/", o.Path
	}
	if o.Path == "" {
		return "/", o.Address
	}
	return o.Path, o.Address
}

// run runs the command of qom with the given name.
func (c *qomCommand) run(ctx context.Context, a *app, name string) error {
	p := a.printer()
	switch name {
	case "list":
		path, address := c.List.resolve(a)
		return a.with(ctx, address, func(vm *async.Client) error {
			ps, err := tools.QOMList(ctx, vm, path)
			if err != nil {
				return err
			}
			if c.List.JSON {
				return printJSON(p, ps)
			}
			return tools.PrintProperties(a.stdout, ps)
		})
	case "get":
		return a.with(ctx, c.Get.Address, func(vm *async.Client) error {
			value, err := tools.QOMGet(ctx, vm, c.Get.Target)
			if err != nil {
				return err
			}
			return p.Print(value)
		})
	case "set":
		return a.with(ctx, c.Set.Address, func(vm *async.Client) error {
			return tools.QOMSet(ctx, vm, c.Set.Target, c.Set.Value)
		})
	}
	path, address := c.Tree.resolve(a)
	return a.with(ctx, address, func(vm *async.Client) error {
		return tools.QOMTree(ctx, vm, path, func(o tools.Object) error {
			if c.Tree.JSON {
				return printJSON(p, o)
			}
			return tools.PrintObject(a.stdout, p, o)
		})
	})
}

// width returns the width of a terminal in columns, and 80 for everything else.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

// printJSON prints a value as JSON.
func printJSON(p *output.Printer, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return p.Print(value)
}

// Run searches the schema.
func (c *schemaCommand) Run(ctx context.Context, a *app) error {
	return a.with(ctx, c.Address, func(vm *async.Client) error {
		help, err := catalog.New(vm).Help(ctx, c.Pattern, width(a.stdout))
		if err == nil {
			_, err = io.WriteString(a.stdout, help)
			return err
		}
		if !is[*catalog.UnknownTopicError](err) {
			return err
		}
		infos, schemaErr := qapi.QueryQMPSchema(ctx, vm)
		if schemaErr != nil {
			return schemaErr
		}
		lines := tools.NewSchema(infos).Search(c.Pattern)
		if len(lines) == 0 {
			return fmt.Errorf("%w, and no type, argument or value has that in its name", err)
		}
		_, err = io.WriteString(a.stdout, strings.Join(lines, "\n")+"\n")
		return err
	})
}

// Run saves a picture.
func (c *screenshotCommand) Run(ctx context.Context, a *app) error {
	format, err := tools.PictureFormat(c.To)
	switch {
	case err != nil:
		return &UsageError{err}
	case c.Head != 0 && c.Device == "":
		return wrong("--head needs --device")
	}
	return a.with(ctx, c.Address, func(vm *async.Client) error {
		var picture strings.Builder
		if err := tools.Screenshot(ctx, vm, tools.Screen{Device: c.Device, Head: c.Head}, format, &picture); err != nil {
			return err
		}
		if c.To == "-" {
			_, err := io.WriteString(a.stdout, picture.String())
			return err
		}
		return os.WriteFile(c.To, []byte(picture.String()), 0o666)
	})
}

// Run types a text.
func (c *typeCommand) Run(ctx context.Context, a *app) error {
	text := c.Text
	if text == "-" && !c.Keys {
		all, err := io.ReadAll(&input{ctx: ctx, r: a.stdin})
		if err != nil {
			return err
		}
		text = string(all)
	}
	chords, err := c.chords(text)
	switch {
	case err != nil:
		return &UsageError{err}
	case c.Rate <= 0 || c.Rate > 1000:
		return wrong("--rate must be more than 0, and at most 1000")
	}
	return a.with(ctx, c.Address, func(vm *async.Client) error { return tools.Type(ctx, vm, chords, c.Rate) })
}

// chords returns the keys to press.
func (c *typeCommand) chords(text string) ([]tools.Chord, error) {
	if c.Enter && !c.Keys {
		text += "\n"
	}
	if !c.Keys {
		return tools.Keys(text)
	}
	var chords []tools.Chord
	for _, word := range strings.Fields(text) {
		chord, err := tools.ParseChord(word)
		if err != nil {
			return nil, err
		}
		chords = append(chords, chord)
	}
	if c.Enter {
		chords = append(chords, tools.Chord{"ret"})
	}
	return chords, nil
}

// Run executes commands and records the connection.
func (c *recordCommand) Run(ctx context.Context, a *app) error {
	r, err := record.Create(c.To, &record.Options{Unmasked: c.Unmasked, Stable: c.Stable})
	if err != nil {
		return &UsageError{err}
	}
	a.configure = append(a.configure, func(o *async.Options) { o.Tracers = append(o.Tracers, r.Tracer("")) })
	return errors.Join(c.run(ctx, a, c.Address), r.Close())
}

// Run serves a recording.
func (c *replayCommand) Run(ctx context.Context, a *app) error {
	if a.program != nil {
		return wrong("replay starts no program")
	}
	var trace func(json.RawMessage)
	if a.grammar.Verbose {
		p := output.New(a.stderr, false)
		trace = func(m json.RawMessage) { fmt.Fprintf(a.stderr, "-> %s\n", p.Format(m)) }
	}
	replay := tools.Replay{Listen: c.Listen, Loose: c.Loose, Fast: c.Fast, Client: c.Who}
	return replay.Serve(ctx, c.From, func(addr net.Addr) { fmt.Fprintf(a.stderr, "qmp-shell: listening at %s\n", addr) }, trace)
}
