package iotests

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
)

// A schema is what a QEMU says of its events, and of the values of its enums, in
// the reply to query-qmp-schema. A wait for what is not in there would be in vain.
type schema struct {
	events   map[string]bool
	entities map[string]Dict // by name
}

// schemas holds them by binary: they do not change while tests run.
var schemas struct {
	mu       sync.Mutex
	byBinary map[string]*schema
}

// schema asks the VM for its schema. It is nil if the VM does not tell it.
func (vm *VM) schema(ctx context.Context) *schema {
	schemas.mu.Lock()
	s := schemas.byBinary[vm.binary]
	schemas.mu.Unlock()
	if s != nil {
		return s
	}
	reply, err := vm.Machine.Command(ctx, "query-qmp-schema", nil)
	list, ok := reply.([]any)
	if err != nil || !ok {
		return nil
	}
	s = &schema{events: make(map[string]bool), entities: make(map[string]Dict)}
	for _, item := range list {
		entity, _ := item.(Dict)
		name, _ := entity["name"].(string)
		s.entities[name] = entity
		if entity["meta-type"] == "event" {
			s.events[name] = true
		}
	}
	schemas.mu.Lock()
	defer schemas.mu.Unlock()
	if schemas.byBinary == nil {
		schemas.byBinary = make(map[string]*schema)
	}
	schemas.byBinary[vm.binary] = s
	return s
}

// values returns the values of the enum that a member of a command's reply, or of
// the items of its reply, has. It is nil if the schema does not tell them.
func (s *schema) values(command, member string) []string {
	typ, _ := s.entities[command]["ret-type"].(string)
	if item, ok := s.entities[typ]["element-type"].(string); ok {
		typ = item
	}
	members, _ := s.entities[typ]["members"].([]any)
	for _, m := range members {
		if m, _ := m.(Dict); m["name"] == member {
			typ, _ = m["type"].(string)
			return enumValues(s.entities[typ])
		}
	}
	return nil
}

// enumValues returns the values of an enum. "members" has them since QEMU 6.2,
// "values", which is deprecated, in every version so far.
func enumValues(enum Dict) []string {
	var all []string
	members, _ := enum["members"].([]any)
	for _, m := range members {
		member, _ := m.(Dict)
		name, _ := member["name"].(string)
		all = append(all, name)
	}
	values, _ := enum["values"].([]any)
	for _, v := range values {
		if name, _ := v.(string); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// mustKnowEvents fails the test if QEMU has no events of these names: a wait for
// one would be in vain, and to assert that none comes would say nothing.
func (vm *VM) mustKnowEvents(ctx context.Context, names ...string) {
	vm.it.Helper()
	s := vm.schema(ctx)
	if s == nil || len(s.events) == 0 {
		return
	}
	for _, name := range names {
		if !s.events[name] {
			vm.fail("QEMU has no event "+name, "events", strings.Join(slices.Sorted(maps.Keys(s.events)), " "))
		}
	}
}

// mustKnowValues is mustKnowEvents for values of an enum, by a command whose reply
// has it as a member. what names them.
func (vm *VM) mustKnowValues(ctx context.Context, what, command, member string, names ...string) {
	vm.it.Helper()
	s := vm.schema(ctx)
	if s == nil {
		return
	}
	values := s.values(command, member)
	for _, name := range names {
		if len(values) > 0 && !slices.Contains(values, name) {
			vm.fail("QEMU has no "+what+" "+name, "those it has", strings.Join(values, " "))
		}
	}
}
