package qmptest

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/internal/proto"
)

// Decode stores the command's arguments in v, a pointer, by the same rule by
// which async.Call decodes a result. It does not change v if the command has no
// arguments. If the arguments do not fit, the error is an [*Error] with QEMU's
// words, which the handler can return.
func (c *Command) Decode(v any) error {
	if c.Arguments == nil {
		return nil
	}
	err := proto.Unmarshal(c.Arguments, v)
	if misfit, ok := errors.AsType[*json.SemanticError](err); ok {
		return genericf("Invalid parameter type for '%s', expected: %s", parameter(misfit.JSONPointer), typeName(misfit.GoType))
	}
	if err != nil {
		return genericf("%v", err)
	}
	return nil
}

// parameter returns the path to a value as QEMU writes it: list[0].member.
func parameter(path jsontext.Pointer) string {
	var b strings.Builder
	for token := range path.Tokens() {
		switch _, err := strconv.ParseUint(token, 10, 64); {
		case err == nil:
			fmt.Fprintf(&b, "[%s]", token)
		case b.Len() > 0:
			b.WriteString("." + token)
		default:
			b.WriteString(token)
		}
	}
	return b.String()
}

// typeName returns what QEMU calls a value that fits t.
func typeName(t reflect.Type) string {
	switch {
	case t == nil:
		return "value"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uintptr:
		return "integer"
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return "number"
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		return "array"
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		return "object"
	case t.Kind() == reflect.Pointer:
		return typeName(t.Elem())
	}
	return t.Kind().String()
}
