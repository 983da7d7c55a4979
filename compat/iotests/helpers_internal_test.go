package iotests

import (
	"context"
	"strings"
)

// failureOf runs a test and returns what it prints if it fails, and "" if it passes.
func failureOf(test func(TB)) string {
	var out strings.Builder
	if err := RunProgram(context.Background(), &out, "test", test); err != nil {
		return out.String() + err.Error()
	}
	return ""
}
