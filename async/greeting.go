package async

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/goqmp/qmp/internal/proto"
)

// A Greeting is the first message of a server (QMP specification, "Server
// Greeting").
type Greeting struct {
	Capabilities []string // what the server offers, such as "oob"
	Version      Version

	raw json.RawMessage
}

// Raw returns the whole greeting as it came. Do not change it.
func (g *Greeting) Raw() json.RawMessage { return g.raw }

// Object returns the whole greeting as a map. The values have the types that [Call]
// has for an any. The error is a [*MessageError] if a number has more than 4,300
// digits, or if the greeting has more than 2,097,152 values. The map is the caller's own.
func (g *Greeting) Object() (map[string]any, error) {
	m, err := decodeObject(g.raw)
	if err != nil {
		return nil, fmt.Errorf("qmp: greeting: %w", err)
	}
	return m, nil
}

// Version is the version in a greeting. It is the zero Version if the greeting does
// not have it as QEMU sends it.
type Version struct {
	Major, Minor, Micro int
	Package             string // the name of a distributor's build, such as "Debian 1:7.2+dfsg-7"
}

// newGreeting returns the greeting in m. It checks what QEMU's own client checks: the
// member QMP is an object, its version is an object, its capabilities are an array.
func newGreeting(m *proto.Message) (*Greeting, error) {
	if m.QMP == nil {
		return nil, errors.New("no QMP member")
	}
	if !proto.IsObject(m.QMP) {
		return nil, errors.New("member QMP is not an object")
	}
	kept := m.Keep()
	m = &kept
	var version, capabilities []byte
	proto.Members(m.QMP, func(name string, value []byte) bool {
		switch name {
		case "version":
			version = value
		case "capabilities":
			capabilities = value
		}
		return true
	})
	switch {
	case version == nil:
		return nil, errors.New("member QMP has no version")
	case !proto.IsObject(version):
		return nil, errors.New("member version of QMP is not an object")
	case capabilities == nil:
		return nil, errors.New("member QMP has no capabilities")
	case !proto.IsArray(capabilities):
		return nil, errors.New("member capabilities of QMP is not an array")
	}
	g := &Greeting{raw: m.Raw}
	proto.Elements(capabilities, func(value []byte) bool {
		if name, ok := proto.Text(value); ok {
			g.Capabilities = append(g.Capabilities, name)
		}
		return true
	})
	var v struct {
		QEMU struct {
			Major int `json:"major"`
			Minor int `json:"minor"`
			Micro int `json:"micro"`
		} `json:"qemu"`
		Package string `json:"package"`
	}
	if decode(version, &v) == nil {
		g.Version = Version{v.QEMU.Major, v.QEMU.Minor, v.QEMU.Micro, v.Package}
	}
	return g, nil
}
