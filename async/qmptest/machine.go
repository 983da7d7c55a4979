package qmptest

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// machineHandlers returns the commands that every machine begins with.
func machineHandlers() map[string]*handler {
	type run = func(context.Context, *Command) (any, error)
	plain := func(ret string, f func(*Server) any) *handler {
		var r run = func(_ context.Context, cmd *Command) (any, error) { return f(cmd.Server), nil }
		return &handler{run: r, ret: ret}
	}
	act := func(f func(*Server)) *handler {
		return plain("empty", func(s *Server) any {
			f(s)
			return nil
		})
	}
	line := []param{
		{name: "command-line", kind: "string"},
		{name: "cpu-index", kind: "integer", optional: true},
	}
	yank := plain("empty", func(*Server) any { return nil })
	yank.oob, yank.params = true, []param{{name: "instances", kind: "array"}}
	queryYank := plain("[any]", func(*Server) any { return []any{} })
	queryYank.oob = true
	return map[string]*handler{
		"query-version":         plain("VersionInfo", func(s *Server) any { return s.version() }),
		"query-status":          plain("StatusInfo", func(s *Server) any { return s.status() }),
		"query-name":            plain("NameInfo", func(s *Server) any { return nameInfo{s.opts.Name} }),
		"query-commands":        plain("[CommandInfo]", func(s *Server) any { return s.commands() }),
		"query-qmp-schema":      plain("[SchemaInfo]", func(s *Server) any { return s.schema() }),
		"stop":                  act((*Server).stop),
		"cont":                  act((*Server).cont),
		"system_reset":          act((*Server).reset),
		"system_powerdown":      act((*Server).powerdown),
		"quit":                  {run: quit, ret: "empty"},
		"human-monitor-command": {run: human, params: line, ret: "str"},
		"yank":                  yank,
		"query-yank":            queryYank,
	}
}

type nameInfo struct {
	Name string `json:"name,omitempty"`
}

type cause struct {
	Guest  bool   `json:"guest"`
	Reason string `json:"reason"`
}

type statusInfo struct {
	Status     string `json:"status"`
	Singlestep bool   `json:"singlestep"`
	Running    bool   `json:"running"`
}

type commandInfo struct {
	Name string `json:"name"`
}

type versionInfo struct {
	QEMU struct {
		Micro int `json:"micro"`
		Minor int `json:"minor"`
		Major int `json:"major"`
	} `json:"qemu"`
	Package string `json:"package"`
}

func (s *Server) version() (v versionInfo) {
	v.QEMU.Micro, v.QEMU.Minor, v.QEMU.Major = s.opts.Version.Micro, s.opts.Version.Minor, s.opts.Version.Major
	v.Package = s.opts.Version.Package
	return v
}

func (s *Server) status() statusInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return statusInfo{Status: "running", Running: true}
	}
	if s.begun {
		return statusInfo{Status: "paused"}
	}
	return statusInfo{Status: "prelaunch"}
}

// names returns all commands, sorted.
func (s *Server) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.handlers)+1)
	for name := range s.handlers {
		names = append(names, name)
	}
	names = append(names, "qmp_capabilities")
	slices.Sort(names)
	return slices.Compact(names)
}

func (s *Server) commands() (list []commandInfo) {
	for _, name := range s.names() {
		list = append(list, commandInfo{name})
	}
	return list
}

// setRunning sets whether the machine is running, and reports whether that
// changed it.
func (s *Server) setRunning(running bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.running != running
	s.running = running
	s.begun = s.begun || running
	return changed
}

func (s *Server) stop() {
	if s.setRunning(false) {
		s.emit("STOP", nil)
	}
}

func (s *Server) cont() {
	if s.setRunning(true) {
		s.emit("RESUME", nil)
	}
}

func (s *Server) reset() { s.emit("RESET", cause{Reason: "host-qmp-system-reset"}) }

func (s *Server) powerdown() { s.emit("POWERDOWN", nil) }

// emit is Emit for data that can always be encoded.
func (s *Server) emit(name string, data any) {
	if err := s.Emit(name, data); err != nil {
		panic(err)
	}
}

// quit ends the machine. The event goes out before the reply. The connection is
// closed after the reply.
func quit(_ context.Context, cmd *Command) (any, error) {
	cmd.Server.emit("SHUTDOWN", cause{Reason: "host-qmp-quit"})
	cmd.quit = true
	return nil, nil
}

// human executes a line of the human monitor. The result is the text that the
// monitor prints. An unknown command is not an error reply: the text says so.
func human(ctx context.Context, cmd *Command) (any, error) {
	var args struct {
		Line string `json:"command-line"`
	}
	if err := cmd.Decode(&args); err != nil {
		return nil, err
	}
	s := cmd.Server
	words := strings.Fields(args.Line)
	switch line := strings.Join(words, " "); line {
	case "":
		return "", nil
	case "info status":
		switch status := s.status(); {
		case status.Running:
			return "VM status: running\r\n", nil
		case status.Status == "paused":
			return "VM status: paused\r\n", nil
		default:
			return "VM status: paused (" + status.Status + ")\r\n", nil
		}
	case "info name":
		if s.opts.Name == "" {
			return "", nil
		}
		return s.opts.Name + "\r\n", nil
	case "info version":
		v := s.opts.Version
		return fmt.Sprintf("%d.%d.%d%s\r\n", v.Major, v.Minor, v.Micro, v.Package), nil
	case "stop", "s":
		s.stop()
		return "", nil
	case "cont", "c":
		s.cont()
		return "", nil
	case "system_reset":
		s.reset()
		return "", nil
	case "system_powerdown":
		s.powerdown()
		return "", nil
	case "quit", "q":
		_, err := quit(ctx, cmd)
		return "", err
	case "help", "?":
		return helpText, nil
	}
	// QEMU's text repeats the line up to the word that it does not know.
	unknown := words[0]
	if unknown == "info" && len(words) > 1 {
		before, _, _ := strings.Cut(args.Line, words[1])
		unknown = strings.TrimLeft(before, " ") + words[1]
	}
	return fmt.Sprintf("unknown command: '%s'\r\n", unknown), nil
}

const helpText = "cont|c  -- resume emulation\r\n" +
	"help|? [cmd] -- show the help\r\n" +
	"info [subcommand] -- show various information about the system state\r\n" +
	"quit|q  -- quit the emulator\r\n" +
	"stop|s  -- stop emulation\r\n" +
	"system_powerdown  -- send system power down event\r\n" +
	"system_reset  -- reset the system\r\n"
