package iotests

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
)

// A schema says which events and enum values a QEMU has, by its reply to
// query-qmp-schema. A wait for an event or a value that is not in the schema would
// never succeed. A schema is not changed after it was made.
type schema struct {
	events   map[string]bool // by name
	entities map[string]Dict // by name
}

// schemas holds the schema of each binary, which stays the same while tests run.
var schemas struct {
	mu       sync.Mutex
	byBinary map[string]*schema // guarded by mu
}

// schema returns the schema of the VM's binary, and asks the VM if it is not known yet.
// It returns nil if the VM does not answer.
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

// values returns the values that a member of a command's reply may have, where that
// member is an enum. If the reply is a list, it is the member of the list's items.
// values returns nil if the schema does not describe them.
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

// enumValues returns the values of an enum. QEMU lists them as "members" since 6.2. The
// older "values" is deprecated, but every version so far has it.
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

// mustKnowEvents fails the test if QEMU does not have all of the given events. A wait for
// an unknown event would never succeed, and an assertion that it does not come would
// always pass.
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

// mustKnowValues fails the test if one of names is not a value of an enum. The enum is
// that of the given member of the command's reply. what says in the failure what kind
// of value it is.
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
