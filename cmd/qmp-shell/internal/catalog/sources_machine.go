package catalog

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
)

// chardevs are the labels of character devices.
func chardevs(r request) ([]name, error) {
	return r.once("chardevs", brief, func(r request) ([]name, error) {
		var found []struct{ Label, Filename string }
		err := r.call("query-chardev", nil, &found)
		var names []name
		for _, c := range found {
			names = append(names, name{text: c.Label, help: shorten(c.Filename)})
		}
		return names, err
	})
}

// iothreads are the ids of I/O threads.
func iothreads(r request) ([]name, error) {
	return r.once("iothreads", brief, func(r request) ([]name, error) {
		var found []struct {
			ID       string
			ThreadID int64
		}
		err := r.call("query-iothreads", nil, &found)
		var names []name
		for _, t := range found {
			names = append(names, name{text: t.ID, help: fmt.Sprintf("thread %d", t.ThreadID)})
		}
		return names, err
	})
}

// fdSets are the numbers of the sets of descriptors.
func fdSets(r request) ([]name, error) {
	return r.once("fd sets", brief, func(r request) ([]name, error) {
		var found []struct {
			FDSetID int64
			FDs     []any
		}
		err := r.call("query-fdsets", nil, &found)
		var names []name
		for _, s := range found {
			names = append(names, name{text: itoa(int(s.FDSetID)), help: fmt.Sprintf("%d descriptors", len(s.FDs))})
		}
		return names, err
	})
}

// networks returns the source of the names of network backends and NICs whose type keep
// takes. QEMU has no command of QMP that lists them, so the human monitor is asked.
func networks(keep func(typ string) bool) source {
	return func(r request) ([]name, error) {
		lines, err := r.human("info network", brief)
		var names []name
		for _, line := range lines {
			id, about, ok := strings.Cut(strings.TrimLeft(line.text, ` \`), ": index=")
			if !ok {
				continue
			}
			_, about, _ = strings.Cut(about, ",type=")
			typ, about, _ := strings.Cut(about, ",")
			if keep(typ) {
				names = append(names, name{text: id, help: strings.TrimSuffix(typ+", "+shorten(about), ", ")})
			}
		}
		return names, err
	}
}

// buses are the buses of the machine.
func buses(r request) ([]name, error) {
	lines, err := r.human("info qtree", brief)
	var names []name
	for i, line := range lines {
		bus, ok := strings.CutPrefix(strings.TrimSpace(line.text), "bus: ")
		if !ok {
			continue
		}
		help := "bus"
		if i+1 < len(lines) {
			if typ, ok := strings.CutPrefix(strings.TrimSpace(lines[i+1].text), "type "); ok {
				help = typ
			}
		}
		names = append(names, name{text: bus, help: help})
	}
	return names, err
}

// human returns the lines that a command of the human monitor prints, as names.
func (r request) human(line string, keep time.Duration) ([]name, error) {
	return r.once("lines of "+line, keep, func(r request) ([]name, error) {
		text, err := async.HMP(r.ctx, r.live.caller, line)
		var lines []name
		for l := range strings.Lines(text) {
			lines = append(lines, name{text: strings.TrimRight(l, "\r\n")})
		}
		return lines, err
	})
}

// A qomProperty is an element of the result of qom-list.
type qomProperty struct {
	Name, Type, Description string
}

// inside returns the type between "child<" or "link<" and ">", or "".
func (p qomProperty) inside() (typ string, isChild bool) {
	if typ, ok := strings.CutPrefix(p.Type, "child<"); ok {
		return strings.TrimSuffix(typ, ">"), true
	}
	if typ, ok := strings.CutPrefix(p.Type, "link<"); ok {
		return strings.TrimSuffix(typ, ">"), false
	}
	return "", false
}

// qomList returns what an object of QOM has.
func (r request) qomList(path string) ([]qomProperty, error) {
	var found []qomProperty
	err := r.call("qom-list", map[string]any{"path": path}, &found)
	return found, err
}

// children returns the source of the names of objects below a path whose type begins
// with prefix.
func children(path, prefix string) source {
	return func(r request) ([]name, error) {
		return r.once("children of "+path+" "+prefix, brief, func(r request) ([]name, error) {
			found, err := r.qomList(path)
			var names []name
			for _, p := range found {
				if typ, isChild := p.inside(); isChild && strings.HasPrefix(typ, prefix) {
					names = append(names, name{text: p.Name, help: typ})
				}
			}
			return names, err
		})
	}
}

// qomPaths are the paths of the objects in the object whose path is typed already.
func qomPaths(r request) ([]name, error) {
	path := r.prefix[:strings.LastIndexByte(r.prefix, '/')+1]
	if path == "" {
		return []name{{text: "/", help: "the root", more: true}}, nil
	}
	return r.once("paths in "+path, brief, func(r request) ([]name, error) {
		asked := path
		if asked != "/" {
			asked = strings.TrimSuffix(path, "/")
		}
		found, err := r.qomList(asked)
		var names []name
		for _, p := range found {
			if typ, isChild := p.inside(); typ != "" {
				help := typ
				if !isChild {
					help = "link to " + typ
				}
				names = append(names, name{text: path + p.Name, help: help, more: true})
			}
		}
		return names, err
	})
}

// qomProperties are the properties of the object whose path is given beside.
func qomProperties(r request) ([]name, error) {
	path := r.text("path")
	if path == "" {
		return nil, nil
	}
	return r.once("properties of "+path, brief, func(r request) ([]name, error) {
		found, err := r.qomList(path)
		var names []name
		for _, p := range found {
			names = append(names, name{text: p.Name, help: p.Type})
		}
		slices.SortFunc(names, func(a, b name) int { return strings.Compare(a.text, b.text) })
		return names, err
	})
}

// types returns the source of the names of types of QOM.
func types(args map[string]any) source {
	return func(r request) ([]name, error) {
		implements, _ := args["implements"].(string)
		return r.once("types that are "+implements, always, func(r request) ([]name, error) {
			var found []struct{ Name, Parent string }
			err := r.call("qom-list-types", args, &found)
			var names []name
			for _, t := range found {
				names = append(names, name{text: t.Name, help: t.Parent})
			}
			slices.SortFunc(names, func(a, b name) int { return strings.Compare(a.text, b.text) })
			return names, err
		})
	}
}

// cpuModels are the names of CPU models.
func cpuModels(r request) ([]name, error) {
	return r.once("cpu models", always, func(r request) ([]name, error) {
		var found []struct{ Name, Typename string }
		err := r.call("query-cpu-definitions", nil, &found)
		var names []name
		for _, c := range found {
			names = append(names, name{text: c.Name, help: c.Typename})
		}
		return names, err
	})
}

// commandLineOptions are the options of QEMU's command line that it describes.
func commandLineOptions(r request) ([]name, error) {
	return r.once("command line options", always, func(r request) ([]name, error) {
		var found []struct {
			Option     string
			Parameters []any
		}
		err := r.call("query-command-line-options", nil, &found)
		var names []name
		for _, o := range found {
			names = append(names, name{text: o.Option, help: fmt.Sprintf("%d parameters", len(o.Parameters))})
		}
		return names, err
	})
}

// traceEvents are the names of trace events.
func traceEvents(r request) ([]name, error) {
	return r.once("trace events", brief, func(r request) ([]name, error) {
		var found []struct{ Name, State string }
		err := r.call("trace-event-get-state", map[string]any{"name": "*"}, &found)
		var names []name
		for _, e := range found {
			names = append(names, name{text: e.Name, help: e.State})
		}
		return names, err
	})
}
