package qmptest

// schemaInfo is one entry of what query-qmp-schema returns. QEMU gives types
// numbers for names. Here they have readable names, which the specification
// allows: a client may use a type's name only to find its entry.
type schemaInfo struct {
	Name        string         `json:"name"`
	MetaType    string         `json:"meta-type"`
	ArgType     string         `json:"arg-type,omitempty"`
	RetType     string         `json:"ret-type,omitempty"`
	AllowOOB    bool           `json:"allow-oob,omitempty"`
	JSONType    string         `json:"json-type,omitempty"`
	ElementType string         `json:"element-type,omitempty"`
	Members     []schemaMember `json:"members,omitzero"`
	Values      []string       `json:"values,omitempty"`
}

type schemaMember struct {
	Name     string `json:"name"`
	Type     string `json:"type,omitempty"` // empty in an enum
	Optional *null  `json:"default,omitempty"`
}

// null is how the schema marks a member as optional: "default": null.
type null struct{}

// MarshalJSON returns null.
func (*null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

func object(name string, members ...schemaMember) schemaInfo {
	if members == nil {
		members = []schemaMember{}
	}
	return schemaInfo{Name: name, MetaType: "object", Members: members}
}

func list(of string) schemaInfo {
	return schemaInfo{Name: "[" + of + "]", MetaType: "array", ElementType: of}
}

func enum(name string, values ...string) schemaInfo {
	e := schemaInfo{Name: name, MetaType: "enum", Values: values}
	for _, v := range values {
		e.Members = append(e.Members, schemaMember{Name: v})
	}
	return e
}

func member(name, typ string) schemaMember { return schemaMember{Name: name, Type: typ} }

func optional(name, typ string) schemaMember {
	return schemaMember{Name: name, Type: typ, Optional: &null{}}
}

// machineTypes describes what the machine's own commands and events carry.
var machineTypes = []schemaInfo{
	object("empty"),
	object("VersionInfo", member("qemu", "VersionTriple"), member("package", "str")),
	object("VersionTriple", member("major", "int"), member("minor", "int"), member("micro", "int")),
	object("StatusInfo", member("running", "bool"), member("singlestep", "bool"), member("status", "RunState")),
	enum("RunState", "paused", "prelaunch", "running", "shutdown"),
	object("NameInfo", optional("name", "str")),
	object("CommandInfo", member("name", "str")),
	list("CommandInfo"),
	object("SchemaInfo", member("name", "str"), member("meta-type", "str"),
		optional("arg-type", "str"), optional("ret-type", "str"), optional("allow-oob", "bool"),
		optional("json-type", "str"), optional("element-type", "str"),
		optional("members", "[any]"), optional("values", "[str]")),
	list("SchemaInfo"),
	object("Capabilities", optional("enable", "[QMPCapability]")),
	list("QMPCapability"),
	enum("QMPCapability", "oob"),
	object("Reset", member("guest", "bool"), member("reason", "ShutdownCause")),
	enum("ShutdownCause", "host-qmp-quit", "host-qmp-system-reset"),
	list("any"),
	list("str"),
	{Name: "any", MetaType: "builtin", JSONType: "value"},
	{Name: "bool", MetaType: "builtin", JSONType: "boolean"},
	{Name: "int", MetaType: "builtin", JSONType: "int"},
	{Name: "str", MetaType: "builtin", JSONType: "string"},

	{Name: "POWERDOWN", MetaType: "event", ArgType: "empty"},
	{Name: "RESET", MetaType: "event", ArgType: "Reset"},
	{Name: "RESUME", MetaType: "event", ArgType: "empty"},
	{Name: "SHUTDOWN", MetaType: "event", ArgType: "Reset"},
	{Name: "STOP", MetaType: "event", ArgType: "empty"},
}

// kinds names the schema's type for each kind of param.
var kinds = map[string]string{"string": "str", "integer": "int", "array": "[any]"}

// schema describes the present commands, and the machine's own events. It says
// of a command made by Handle that it takes no arguments, and may return any
// value.
func (s *Server) schema() []schemaInfo {
	var all []schemaInfo
	for _, name := range s.names() {
		s.mu.Lock()
		h := s.handlers[name]
		s.mu.Unlock()
		entry := schemaInfo{Name: name, MetaType: "command", ArgType: "empty", RetType: "empty"}
		switch {
		case h == nil: // qmp_capabilities, which has no handler
			entry.ArgType = "Capabilities"
		case len(h.params) > 0:
			entry.ArgType = name + "-arg"
			var members []schemaMember
			for _, p := range h.params {
				if p.optional {
					members = append(members, optional(p.name, kinds[p.kind]))
				} else {
					members = append(members, member(p.name, kinds[p.kind]))
				}
			}
			all = append(all, object(entry.ArgType, members...))
		}
		if h != nil {
			entry.RetType, entry.AllowOOB = h.ret, h.oob
		}
		all = append(all, entry)
	}
	return append(all, machineTypes...)
}
