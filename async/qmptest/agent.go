package qmptest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// delimiter is the byte at which the guest agent's parser starts again. The agent sends
// it before the reply to guest-sync-delimited.
const delimiter = 0xff

// agentHandlers returns the commands that every guest agent begins with.
func agentHandlers() map[string]*handler {
	number := []param{{name: "id", kind: "integer"}}
	sync := &handler{run: guestSync, params: number, ret: "int"}
	return map[string]*handler{
		"guest-sync":           sync,
		"guest-sync-delimited": sync,
		"guest-ping":           {run: func(context.Context, *Command) (any, error) { return nil, nil }, ret: "empty"},
		"guest-info":           {run: guestInfo, ret: "any"},
	}
}

func guestSync(_ context.Context, cmd *Command) (any, error) {
	var args struct {
		ID int64 `json:"id"`
	}
	err := cmd.Decode(&args)
	return args.ID, err
}

type agentInfo struct {
	Version  string         `json:"version"`
	Commands []agentCommand `json:"supported_commands"`
}

type agentCommand struct {
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"`
	Success bool   `json:"success-response"`
}

func guestInfo(_ context.Context, cmd *Command) (any, error) {
	v := cmd.Server.opts.Version
	info := agentInfo{Version: fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro)}
	for _, name := range cmd.Server.names() {
		if strings.HasPrefix(name, "guest-") {
			success := name != "guest-shutdown" && !strings.HasPrefix(name, "guest-suspend-")
			info.Commands = append(info.Commands, agentCommand{Name: name, Enabled: true, Success: success})
		}
	}
	return info, nil
}

// restart drops what the client sent up to the delimiter, and reports whether there was
// one.
func (c *client) restart() bool {
	at := bytes.IndexByte(c.rcv.Buf, delimiter)
	if !c.srv.opts.NoGreeting || at < 0 {
		return false
	}
	c.rcv.Consume(at + 1)
	return true
}
