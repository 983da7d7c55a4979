package iotests

import (
	"fmt"
	"slices"
	"strings"
)

// NodeInfo returns what query-named-block-nodes tells of a node. A node that does
// not exist fails the test.
func (vm *VM) NodeInfo(node string) Dict {
	vm.it.Helper()
	for _, info := range vm.nodes() {
		if info["node-name"] == node {
			return info
		}
	}
	vm.fail("no node "+node, "nodes", strings.Join(vm.NodeNames(), " "))
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

// AssertHasNode fails the test unless there is a node of that name. With a file
// name, the node's has to be that one.
func (vm *VM) AssertHasNode(node, filename string) {
	vm.it.Helper()
	info := vm.NodeInfo(node)
	if filename != "" {
		vm.it.AssertQMP(info, "file", filename)
	}
}

// AssertNoNode fails the test if there is a node of that name.
func (vm *VM) AssertNoNode(node string) {
	vm.it.Helper()
	if names := vm.NodeNames(); slices.Contains(names, node) {
		vm.fail("there is a node "+node, "nodes", strings.Join(names, " "))
	}
}

// A Graph is what is connected with what in the block layer.
type Graph struct {
	Nodes []GraphNode
	Edges []GraphEdge
}

// A GraphNode is a node, a backend or a job.
type GraphNode struct {
	ID   uint64
	Name string
	Type string // "block-driver", "block-backend" or "block-job"
}

// A GraphEdge connects a parent with one of its children.
type GraphEdge struct {
	Parent, Child uint64
	Name          string   // what the child is to the parent, such as "file" or "backing"
	Perm          []string // what the parent does with the child
	SharedPerm    []string `json:"shared-perm"` // what others may do meanwhile
}

// BlockGraph returns the graph.
func (vm *VM) BlockGraph() Graph {
	vm.it.Helper()
	return CmdInto[Graph](vm, "x-debug-query-block-graph", nil)
}

// node returns the graph's node of an id.
func (g Graph) node(id uint64) GraphNode {
	i := slices.IndexFunc(g.Nodes, func(n GraphNode) bool { return n.ID == id })
	if i < 0 {
		return GraphNode{ID: id, Name: fmt.Sprintf("?%d", id)}
	}
	return g.Nodes[i]
}

// Lines returns the graph as texts such as "top -backing-> base", sorted.
func (g Graph) Lines() []string {
	lines := make([]string, len(g.Edges))
	for i, e := range g.Edges {
		lines[i] = fmt.Sprintf("%s -%s-> %s", g.node(e.Parent).Name, e.Name, g.node(e.Child).Name)
	}
	slices.Sort(lines)
	return lines
}

// child returns what a node of that name has as a child of that name. The name of
// a backend may be a node's as well, so both are looked at.
func (g Graph) child(parent, edge string) (GraphNode, bool) {
	for _, e := range g.Edges {
		if e.Name == edge && g.node(e.Parent).Name == parent {
			return g.node(e.Child), true
		}
	}
	return GraphNode{}, false
}

// AssertBlockPath fails the test unless the path leads from root, the name of a
// node or a backend, to the node want. A path is names of edges between slashes:
// "backing/file"; that from a backend to its node is "root". With want "" there
// must be nothing.
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
		vm.fail(fmt.Sprintf("the path %s of %s leads to %q, and was to lead to %q", path, root, at, want), "graph", strings.Join(g.Lines(), "\n"))
	}
}
