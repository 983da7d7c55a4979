//go:build linux

package chaos

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/goqmp/qmp/async"
)

var tokens atomic.Uint64 // how many tokens there are

// newToken returns a new token. Every command has a token of its own, which comes
// back in the reply.
func newToken() string { return fmt.Sprintf("%s%d-", tokenPrefix, tokens.Add(1)) }

const tokenPrefix = "chaos-"

// findToken returns the token in a message, or "" if there is none.
func findToken(msg []byte) string {
	begin := bytes.Index(msg, []byte(tokenPrefix))
	if begin < 0 {
		return ""
	}
	msg = msg[begin:]
	end := len(tokenPrefix) + bytes.IndexByte(msg[len(tokenPrefix):], '-')
	return string(msg[:end+1])
}

// A kind is a kind of command, and how QEMU answers it.
type kind struct {
	name  string                 // "" for a command that is named like its token, which QEMU does not know
	args  func(token string) any // nil for no arguments
	reply string                 // a part of the reply, with %s for the token; if it has no %s, the command's id is the token
	dying string                 // the same for a QEMU that is shutting down; "" if it does not differ
}

// A reply with the token in its text proves more than an id does: QEMU made that
// text for that command.
var (
	inBand = []kind{
		{reply: "The command %s has not been found"},
		{name: "human-monitor-command", args: member("command-line"), reply: `"return": "unknown command: '%s'`},
		{name: "device_del", args: member("id"), reply: "Device '%s"},
		{name: "qom-get", args: func(token string) any {
			return map[string]any{"path": "/" + token, "property": "type"}
		}, reply: "Device '/%s' not found"},
		{name: "query-status", reply: `"running": `},
		{name: "stop", reply: `"return": {}`},
		{name: "cont", reply: `"return": {}`, dying: "Resetting the Virtual Machine is required"},
	}
	outOfBand = []kind{
		{reply: "The command %s has not been found"},
		{name: "query-yank", args: func(token string) any {
			return map[string]any{token: 1}
		}, reply: "Parameter '%s' is unexpected"},
		{name: "query-yank", reply: `"type": "chardev"`},
		{name: "yank", args: func(token string) any { return instance(token) }, reply: "Instance not found"},
		{name: "migrate-pause", reply: "migrate-pause is currently only supported"},
		{name: "migrate-recover", args: member("uri"), reply: "Migrate recover can only be run"},
	}
)

func member(name string) func(string) any {
	return func(token string) any { return map[string]any{name: token} }
}

func instance(id string) any {
	return map[string]any{"instances": []any{map[string]any{"type": "chardev", "id": id}}}
}

// command returns a random command with the token, and parts of the replies that
// QEMU may send.
func command(r *rand.Rand, token string) (cmd async.Command, replies []string) {
	k := inBand[r.IntN(len(inBand))]
	if cmd.OOB = r.IntN(4) == 0; cmd.OOB {
		k = outOfBand[r.IntN(len(outOfBand))]
	}
	cmd.Name = k.name
	if k.name == "" {
		cmd.Name = token
	}
	if k.args != nil {
		text := token
		if k.name == "device_del" {
			text += filler(r)
		}
		cmd.Args = k.args(text)
	}
	if carried := strings.Contains(k.reply, "%s"); !carried || r.IntN(4) == 0 {
		cmd.ID = token
	}
	replies = append(replies, strings.ReplaceAll(k.reply, "%s", token))
	if k.dying != "" {
		replies = append(replies, k.dying)
	}
	return cmd, replies
}

// filler makes some commands longer than what fits into the socket while QEMU is
// stopped. They are not much longer, because QEMU 7.2 reads a monitor byte by byte.
func filler(r *rand.Rand) string {
	if r.IntN(16) > 0 {
		return ""
	}
	return strings.Repeat("x", r.IntN(4*sendBuffer))
}

// answers reports whether raw is one of the replies to the command with this
// token.
func answers(raw []byte, token string, replies []string) bool {
	return bytes.Contains(raw, []byte(token)) && slices.ContainsFunc(replies, func(part string) bool {
		return bytes.Contains(raw, []byte(part))
	})
}
