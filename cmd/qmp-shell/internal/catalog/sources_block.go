package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// A blockNode is an element of the result of query-named-block-nodes.
type blockNode struct {
	NodeName     string
	Drv          string
	File         string
	RO           bool
	DirtyBitmaps []blockBitmap
	Image        struct {
		Snapshots []struct{ ID, Name string }
	}
}

// A blockBitmap is a dirty bitmap of a node.
type blockBitmap struct {
	Name        string
	Count       int64
	Granularity int64
	Recording   bool
	Persistent  bool
}

// help is one line about a node.
func (n blockNode) help() string {
	help := n.Drv
	if n.File != "" && !strings.HasPrefix(n.File, "json:") {
		help += ", " + shorten(n.File)
	}
	if n.RO {
		help += ", read-only"
	}
	return help
}

// askNodes asks for the block nodes. Flat replies leave out the images below the nodes,
// and with them the snapshots.
func (r request) askNodes(flat bool) ([]blockNode, error) {
	var args map[string]any
	if _, _, _, has := r.server.walk("query-named-block-nodes", []string{"flat"}, nil); has && flat {
		args = map[string]any{"flat": true}
	}
	var found []blockNode
	err := r.call("query-named-block-nodes", args, &found)
	return found, err
}

// nodes are the names of block nodes.
func nodes(r request) ([]name, error) {
	return r.once("nodes", brief, func(r request) ([]name, error) {
		found, err := r.askNodes(true)
		var names []name
		for _, n := range found {
			names = append(names, name{text: n.NodeName, help: n.help()})
		}
		return names, err
	})
}

// A blockBackend is an element of the result of query-block.
type blockBackend struct {
	Device   string
	QDev     string
	Inserted *blockNode
}

func (r request) askBackends() ([]blockBackend, error) {
	var found []blockBackend
	err := r.call("query-block", nil, &found)
	return found, err
}

// help is one line about the medium of a device.
func (b blockBackend) help() string {
	if b.Inserted == nil {
		return "no medium"
	}
	return b.Inserted.help()
}

// blockNames are the names of block devices, and of nodes.
func blockNames(r request) ([]name, error) {
	devices, err := r.once("devices of query-block", brief, func(r request) ([]name, error) {
		found, err := r.askBackends()
		var names []name
		for _, b := range found {
			if b.Device != "" {
				names = append(names, name{text: b.Device, help: "block device, " + b.help()})
			}
		}
		return names, err
	})
	if err != nil {
		return nil, err
	}
	named, err := nodes(r)
	return slices.Concat(devices, named), err
}

// blockDevices are the ids of devices of the guest that have a medium.
func blockDevices(r request) ([]name, error) {
	return r.once("qdevs of query-block", brief, func(r request) ([]name, error) {
		found, err := r.askBackends()
		var names []name
		for _, b := range found {
			if b.QDev != "" {
				names = append(names, name{text: b.QDev, help: b.help()})
			}
		}
		return names, err
	})
}

// node returns the node that the same object names, or "".
func (r request) node() string {
	for _, member := range []string{"node", "node-name", "target", "device"} {
		if node := r.text(member); node != "" {
			return node
		}
	}
	return ""
}

// bitmaps are the dirty bitmaps of the node that is named beside, or of all nodes.
func bitmaps(r request) ([]name, error) {
	node := r.node()
	return r.once("bitmaps of "+node, brief, func(r request) ([]name, error) {
		found, err := r.askNodes(true)
		var names []name
		for _, n := range found {
			if node != "" && n.NodeName != node {
				continue
			}
			for _, b := range n.DirtyBitmaps {
				help := fmt.Sprintf("bitmap of %s, %d bytes dirty, granularity %d", n.NodeName, b.Count, b.Granularity)
				if !b.Recording {
					help += ", disabled"
				}
				names = append(names, name{text: b.Name, help: help})
			}
		}
		return names, err
	})
}

// snapshots are the names of internal snapshots.
func snapshots(r request) ([]name, error) {
	return r.once("snapshots", brief, func(r request) ([]name, error) {
		found, err := r.askNodes(false)
		var names []name
		for _, n := range found {
			for _, s := range n.Image.Snapshots {
				if !slices.ContainsFunc(names, func(n name) bool { return n.text == s.Name }) {
					names = append(names, name{text: s.Name, help: "snapshot of " + n.NodeName})
				}
			}
		}
		return names, err
	})
}

// jobs are the ids of jobs.
func jobs(r request) ([]name, error) {
	return r.once("jobs", brief, func(r request) ([]name, error) {
		var found []struct {
			ID, Type, Status               string
			CurrentProgress, TotalProgress float64
		}
		err := r.call("query-jobs", nil, &found)
		var names []name
		for _, j := range found {
			help := j.Type + ", " + j.Status
			if j.TotalProgress > 0 {
				help += fmt.Sprintf(", %.0f %%", 100*j.CurrentProgress/j.TotalProgress)
			}
			names = append(names, name{text: j.ID, help: help})
		}
		return names, err
	})
}

// exports are the ids of block exports.
func exports(r request) ([]name, error) {
	return r.once("exports", brief, func(r request) ([]name, error) {
		var found []struct{ ID, Type, NodeName string }
		err := r.call("query-block-exports", nil, &found)
		var names []name
		for _, e := range found {
			names = append(names, name{text: e.ID, help: e.Type + ", node " + e.NodeName})
		}
		return names, err
	})
}

// shorten returns the end of a long file name.
func shorten(file string) string {
	const most = 48
	file = strings.ToValidUTF8(file, "?")
	runes := []rune(file)
	if len(runes) <= most {
		return file
	}
	return "..." + string(runes[len(runes)-most:])
}
