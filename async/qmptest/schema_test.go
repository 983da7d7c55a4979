package qmptest

import (
	"context"
	"encoding/json"
	"testing"
)

// The schema has every type that it refers to, and every command.
func TestSchema(t *testing.T) {
	s := Start(t, &Options{Network: Memory})
	s.HandleOOB("mine", func(context.Context, *Command) (any, error) { return nil, nil })
	p := dial(t, s, negotiation)
	p.send(`{"execute":"query-qmp-schema"}{"execute":"query-commands"}`)
	var schema struct{ Return []schemaInfo }
	var commands struct{ Return []commandInfo }
	for _, v := range []any{&schema, &commands} {
		if err := json.Unmarshal([]byte(p.line()), v); err != nil {
			t.Fatal(err)
		}
	}
	byName := make(map[string]schemaInfo)
	for _, e := range schema.Return {
		if _, ok := byName[e.Name]; ok {
			t.Errorf("the schema has %s twice", e.Name)
		}
		byName[e.Name] = e
	}
	need := func(of, typ string) {
		if _, ok := byName[typ]; typ != "" && !ok {
			t.Errorf("%s refers to %s, which is missing", of, typ)
		}
	}
	count := 0
	for _, e := range schema.Return {
		if e.MetaType == "command" {
			count++
		}
		need(e.Name, e.ArgType)
		need(e.Name, e.RetType)
		need(e.Name, e.ElementType)
		for _, m := range e.Members {
			need(e.Name, m.Type)
		}
	}
	if count != len(commands.Return) {
		t.Errorf("%d commands in the schema, %d in query-commands", count, len(commands.Return))
	}
	for _, c := range commands.Return {
		if byName[c.Name].MetaType != "command" {
			t.Errorf("%s is not in the schema", c.Name)
		}
	}
	if !byName["mine"].AllowOOB || byName["stop"].AllowOOB {
		t.Error("allow-oob is wrong")
	}
}
