// Package tools has what the program's commands do: the work of the small programs that
// come with QEMU's Python library, and some more.
package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
)

// A Property is a property of a QOM object.
type Property struct {
	Name  string          `json:"name"`
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value,omitempty"` // nil if it was not read
	Error string          `json:"error,omitempty"` // why it could not be read
}

// child reports whether the property is an object below this one.
func (p Property) child() bool { return strings.HasPrefix(p.Type, "child<") }

// link reports whether the property refers to another object.
func (p Property) link() bool { return strings.HasPrefix(p.Type, "link<") }

// An Object is a QOM object with its properties.
type Object struct {
	Path       string     `json:"path"`
	Properties []Property `json:"properties"`
}

// parallel is how many commands are under way at the same time.
const parallel = 8

// QOMList returns the properties of the object at path, sorted by name, without values.
func QOMList(ctx context.Context, c async.Caller, path string) ([]Property, error) {
	ps, err := async.Call[[]Property](ctx, c, "qom-list", map[string]string{"path": path})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(ps, func(a, b Property) int { return strings.Compare(a.Name, b.Name) })
	return ps, nil
}

// QOMGet returns a property, if target is PATH.PROPERTY, or all properties of an object, as
// one JSON object, if target is its path.
func QOMGet(ctx context.Context, c async.Caller, target string) (json.RawMessage, error) {
	ps, err := QOMList(ctx, c, target)
	if err == nil {
		if err := read(ctx, c, target, ps); err != nil {
			return nil, err
		}
		var b []byte
		for _, p := range ps {
			name, err := json.Marshal(p.Name)
			if err != nil {
				return nil, err
			}
			if p.Error != "" {
				continue // it can only be set
			}
			b = append(append(append(append(b, ','), name...), ':'), p.Value...)
		}
		if len(b) == 0 {
			return json.RawMessage(`{}`), nil
		}
		b[0] = '{'
		return append(b, '}'), nil
	}
	path, property, ok := split(target)
	if refused(err) && ok {
		return async.Call[json.RawMessage](ctx, c, "qom-get", map[string]string{"path": path, "property": property})
	}
	return nil, err
}

// QOMSet sets a property. target is PATH.PROPERTY. value is JSON, or a text.
func QOMSet(ctx context.Context, c async.Caller, target, value string) error {
	path, property, ok := split(target)
	if !ok {
		return fmt.Errorf("%s has no property: write PATH.PROPERTY, such as /machine.graphics", target)
	}
	v := json.RawMessage(value)
	if !json.Valid(v) {
		v, _ = json.Marshal(value)
	}
	reply, err := c.Do(ctx, async.Command{Name: "qom-set", Args: async.Members{{Name: "path", Value: path}, {Name: "property", Value: property}, {Name: "value", Value: v}}})
	if err != nil {
		return err
	}
	return reply.Err()
}

// QOMTree calls yield for the object at path and for all objects below it, with their
// properties and values.
func QOMTree(ctx context.Context, c async.Caller, path string, yield func(Object) error) error {
	ps, err := QOMList(ctx, c, path)
	if err != nil {
		return err
	}
	var children []string
	own := slices.DeleteFunc(slices.Clone(ps), func(p Property) bool {
		if p.child() {
			children = append(children, strings.TrimSuffix(path, "/")+"/"+p.Name)
		}
		return p.child()
	})
	if err := read(ctx, c, path, own); err != nil {
		return err
	}
	if err := yield(Object{path, own}); err != nil {
		return err
	}
	for _, child := range children {
		err := QOMTree(ctx, c, child, yield)
		if refused(err) {
			continue // it was removed meanwhile
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read sets the values of ps, properties of the object at path. A property that cannot be
// read gets the Error.
func read(ctx context.Context, c async.Caller, path string, ps []Property) error {
	var wg sync.WaitGroup
	free := make(chan struct{}, parallel)
	failures := make([]error, len(ps))
	for i := range ps {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			value, err := async.Call[json.RawMessage](ctx, c, "qom-get", map[string]string{"path": path, "property": ps[i].Name})
			if refusal, ok := errors.AsType[*async.ExecuteError](err); ok {
				ps[i].Error = refusal.Desc
				return
			}
			ps[i].Value, failures[i] = value, err
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}

// PrintProperties prints the names of properties, one on each line: NAME/ for an object
// below this one, @NAME for a reference to another object, and NAME (TYPE) for the others.
func PrintProperties(w io.Writer, ps []Property) error {
	var b strings.Builder
	for _, p := range ps {
		switch {
		case p.child():
			fmt.Fprintf(&b, "%s/\n", output.Text(p.Name))
		case p.link():
			fmt.Fprintf(&b, "@%s\n", output.Text(p.Name))
		default:
			fmt.Fprintf(&b, "%s (%s)\n", output.Text(p.Name), output.Text(p.Type))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// PrintObject prints an object of a tree: its path, and each property with its value below.
func PrintObject(w io.Writer, p *output.Printer, o Object) error {
	var b strings.Builder
	fmt.Fprintln(&b, output.Text(o.Path))
	for _, property := range o.Properties {
		value := string(p.Format(property.Value))
		if property.Error != "" {
			value = "cannot be read: " + output.Text(property.Error)
		}
		fmt.Fprintf(&b, "  %s: %s (%s)\n", output.Text(property.Name), value, output.Text(property.Type))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// split splits PATH.PROPERTY at its last dot.
func split(target string) (path, property string, ok bool) {
	i := strings.LastIndexByte(target, '.')
	if i <= 0 || i == len(target)-1 {
		return "", "", false
	}
	return target[:i], target[i+1:], true
}

// refused reports whether the server has refused a command.
func refused(err error) bool {
	_, ok := errors.AsType[*async.ExecuteError](err)
	return ok
}
