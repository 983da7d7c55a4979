package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/qapi/qga"
)

// An offer is what the agent said about itself in its latest reply to guest-info.
type offer struct {
	mu       sync.Mutex // guards the fields below
	version  string
	commands map[string]qga.GuestAgentCommandInfo // by name; nil if the agent does not tell. A map is not changed, but replaced
}

// ask executes guest-info by caller, and stores the answer. An agent that refuses
// guest-info is taken to offer everything.
func (c *Client) ask(ctx context.Context, caller async.Caller) error {
	reply, err := c.watched(ctx, caller, "guest-info", async.Command{Name: "guest-info", TakesErrorWithoutID: true})
	if err != nil {
		return err
	}
	return c.take(reply)
}

// take stores what the reply to guest-info says.
func (c *Client) take(reply async.Reply) error {
	var info qga.GuestAgentInfo
	if err := reply.Decode(&info); err != nil {
		if refused, ok := errors.AsType[*async.ExecuteError](err); ok && refused.Class == "CommandNotFound" {
			return nil
		}
		return err
	}
	commands := make(map[string]qga.GuestAgentCommandInfo)
	for _, command := range info.SupportedCommands {
		commands[command.Name] = command
	}
	c.offer.mu.Lock()
	defer c.offer.mu.Unlock()
	c.offer.version, c.offer.commands = info.Version, commands
	return nil
}

// askAgain is ask on a connection that is in use.
func (c *Client) askAgain(ctx context.Context) error {
	reply, err := exchanger{c}.Do(ctx, async.Command{Name: "guest-info"})
	if err != nil {
		return err
	}
	return c.take(reply)
}

// find returns what is known of a command.
func (o *offer) find(command string) (info qga.GuestAgentCommandInfo, listed, known bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	info, listed = o.commands[command]
	return info, listed, o.commands != nil
}

// refuses reports whether the agent is known to refuse a command.
func (o *offer) refuses(command string) bool {
	info, _, known := o.find(command)
	return known && !info.Enabled
}

// repliesOnlyErrors reports whether a command has no reply if it succeeds.
func (o *offer) repliesOnlyErrors(command string) bool {
	switch command {
	case "guest-shutdown", "guest-suspend-disk", "guest-suspend-ram", "guest-suspend-hybrid":
		return true
	}
	return false
}

// Version returns the version of QEMU that the agent belongs to, such as "7.2.22". It is
// "" if the agent refuses guest-info.
func (c *Client) Version() string {
	c.offer.mu.Lock()
	defer c.offer.mu.Unlock()
	return c.offer.version
}

// Commands returns the commands of the agent, by their names. The map is that of the
// latest guest-info, which the client executes when it connects, and before it returns a
// [DisabledError]. It belongs to the caller. It is nil if the agent refuses guest-info.
func (c *Client) Commands() map[string]qga.GuestAgentCommandInfo {
	c.offer.mu.Lock()
	defer c.offer.mu.Unlock()
	return maps.Clone(c.offer.commands)
}

// A DisabledError says that a command was not sent, because the agent does not offer it.
type DisabledError struct {
	Command string
	Version string // of the agent
	Listed  bool   // the agent knows the command, but it is disabled
	Frozen  bool   // the agent has frozen file systems, and therefore offers almost nothing
}

func (e *DisabledError) Error() string {
	switch {
	case !e.Listed:
		return fmt.Sprintf("qmp: %s: not sent: the guest agent %s does not have this command", harmless.Line(e.Command), harmless.Line(e.Version))
	case e.Frozen:
		return fmt.Sprintf("qmp: %s: not sent: the guest agent has frozen the guest's file systems; thaw them first (guest-fsfreeze-thaw)", harmless.Line(e.Command))
	}
	return fmt.Sprintf("qmp: %s: not sent: the guest agent %s has disabled this command (its options --block-rpcs and --allow-rpcs, or the guest's system)", harmless.Line(e.Command), harmless.Line(e.Version))
}

// checkOffered returns a [*DisabledError] if the agent does not offer a command. It asks
// the agent again before that, since an agent offers little while file systems are frozen.
func (c *Client) checkOffered(ctx context.Context, command string) error {
	if !c.offer.refuses(command) {
		return nil
	}
	if err := c.askAgain(ctx); err != nil {
		return err
	}
	info, listed, known := c.offer.find(command)
	if !known || info.Enabled {
		return nil
	}
	e := &DisabledError{Command: command, Version: c.Version(), Listed: listed}
	if listed && !c.offer.refuses("guest-fsfreeze-status") {
		status, err := qga.GuestFsfreezeStatus(ctx, exchanger{c})
		e.Frozen = err == nil && status == qga.GuestFsfreezeStatusOptionsFrozen
	}
	return e
}
