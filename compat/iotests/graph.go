package iotests

import (
	"fmt"
	"slices"
	"strings"
)

// NodeInfo returns the entry of a node in the reply to query-named-block-nodes. If the
// node does not exist, the test fails.
func (vm *VM) NodeInfo(node string) Dict {
	vm.it.Helper()
	for _, info := range vm.nodes() {
		if info["node-name"] == node {
			return info
		}
	}
	vm.fail("there is no node "+node, "nodes", strings.Join(vm.NodeNames(), " "))
	return nil
}

// NodeNames returns the names of all nodes, sorted.
func (vm *VM) NodeNames() []string {
	vm.it.Helper()
	var names []string
	for _, info := range vm.nodes() {
		names = append(names, Get[string](vm.it, info, "node-name"))
	}
	slices.Sort(names)
	return names
}

func (vm *VM) nodes() []Dict {
	vm.it.Helper()
	list, _ := vm.Cmd("query-named-block-nodes", Dict{"flat": true}).([]any)
	var nodes []Dict
	for _, item := range list {
		if node, ok := item.(Dict); ok {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// AssertHasNode fails the test unless a node of the given name exists. Unless filename
// is "", the node also has to have that file name.
func (vm *VM) AssertHasNode(node, filename string) {
	vm.it.Helper()
	info := vm.NodeInfo(node)
	if filename != "" {
		vm.it.AssertQMP(info, "file", filename)
	}
}

// AssertNoNode fails the test if a node of the given name exists.
func (vm *VM) AssertNoNode(node string) {
	vm.it.Helper()
	if names := vm.NodeNames(); slices.Contains(names, node) {
		vm.fail("there is a node "+node, "nodes", strings.Join(names, " "))
	}
}

// A Graph says which nodes of the block layer are connected.
type Graph struct {
	Nodes []GraphNode
	Edges []GraphEdge
}

// A GraphNode is a block node, a backend or a job.
type GraphNode struct {
	ID   uint64
	Name string
	Type string // "block-driver", "block-backend" or "block-job"
}

// A GraphEdge connects a parent with one of its children.
type GraphEdge struct {
	Parent, Child uint64
	Name          string   // the child's role for the parent, such as "file" or "backing"
	Perm          []string // the permissions that the parent has on the child
	SharedPerm    []string `json:"shared-perm"` // the permissions that others may have at the same time
}

// BlockGraph returns the graph of the block layer, by x-debug-query-block-graph.
func (vm *VM) BlockGraph() Graph {
	vm.it.Helper()
	return CmdInto[Graph](vm, "x-debug-query-block-graph", nil)
}

// node returns the node of the given id.
func (g Graph) node(id uint64) GraphNode {
	i := slices.IndexFunc(g.Nodes, func(n GraphNode) bool { return n.ID == id })
	if i < 0 {
		return GraphNode{ID: id, Name: fmt.Sprintf("?%d", id)}
	}
	return g.Nodes[i]
}

// Lines returns a text for each edge, such as "top -backing-> base", sorted.
func (g Graph) Lines() []string {
	lines := make([]string, len(g.Edges))
	for i, e := range g.Edges {
		lines[i] = fmt.Sprintf("%s -%s-> %s", g.node(e.Parent).Name, e.Name, g.node(e.Child).Name)
	}
	slices.Sort(lines)
	return lines
}

// child returns the child that the edge of the given name leads to from a node or
// backend of the given name. A backend and a node may have the same name, so child
// looks at the edges of both.
func (g Graph) child(parent, edge string) (GraphNode, bool) {
	for _, e := range g.Edges {
		if e.Name == edge && g.node(e.Parent).Name == parent {
			return g.node(e.Child), true
		}
	}
	return GraphNode{}, false
}

// AssertBlockPath fails the test unless the path leads from root to the node want.
// root is the name of a node or a backend, and has to exist. A path is the names of
// edges, separated by slashes, such as "backing/file". The edge from a backend to its
// node is called "root". If want is "", the last edge of the path must not exist.
func (vm *VM) AssertBlockPath(root, path, want string) {
	vm.it.Helper()
	g := vm.BlockGraph()
	if !slices.ContainsFunc(g.Nodes, func(n GraphNode) bool { return n.Name == root }) {
		vm.fail(fmt.Sprintf("there is no node or backend %q, where the path %s begins", root, path), "graph", strings.Join(g.Lines(), "\n"))
	}
	at := root
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, edge := range parts {
		if edge == "" {
			continue
		}
		next, ok := g.child(at, edge)
		if !ok {
			if want == "" && i == len(parts)-1 {
				return
			}
			vm.fail(fmt.Sprintf("%s has no %q on the path %s of %s", at, edge, path, root), "graph", strings.Join(g.Lines(), "\n"))
		}
		at = next.Name
	}
	if at != want {
		vm.fail(fmt.Sprintf("the path %s of %s leads to %q, not to %q", path, root, at, want), "graph", strings.Join(g.Lines(), "\n"))
	}
}
