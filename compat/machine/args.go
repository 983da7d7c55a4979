package machine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The ids of the machine's own character devices.
const (
	monitorID = "machine-monitor"
	consoleID = "machine-console"
)

// Escape doubles the commas in value, as QEMU wants it in the value of an option
// such as "file=VALUE,if=virtio".
func Escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }

// commandLine returns the whole command line: the wrapper, the binary, the
// machine's own options, and the caller's args, which thus have the last word.
// files is how many files the process inherits already.
func (r *run) commandLine(args []string, files int) ([]string, error) {
	for _, arg := range args {
		if arg == "-daemonize" || arg == "--daemonize" {
			return nil, fmt.Errorf("the option %s would put the process out of this machine's sight: leave it away", arg)
		}
	}
	opts := &r.machine.opts
	line := slices.Concat(opts.Wrapper, []string{r.machine.binary})
	if !opts.StorageDaemon {
		line = append(line, "-display", "none", "-vga", "none")
	}
	if opts.Monitor != MonitorNone {
		line = append(line, r.monitorArgs()...)
	}
	console, err := r.consoleArgs(files)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return slices.Concat(line, console, args), nil
}

// monitorArgs returns the options for the monitor.
func (r *run) monitorArgs() []string {
	chardev := "socket,id=" + monitorID + ",path=" + Escape(r.monitor)
	if r.machine.opts.Monitor == MonitorDial {
		// QEMU waits for us there before it goes on. With wait=off QEMU 7.2 now
		// and then leaves a client that comes while it starts without an answer.
		chardev += ",server=on,wait=on"
	}
	if r.machine.opts.StorageDaemon {
		return []string{"--chardev", chardev, "--monitor", "chardev=" + monitorID}
	}
	return []string{"-chardev", chardev, "-mon", "chardev=" + monitorID + ",mode=control"}
}

// consoleArgs returns the options for the first serial port.
func (r *run) consoleArgs(files int) ([]string, error) {
	opts := &r.machine.opts
	chardev := "null,id=" + consoleID
	switch {
	case !opts.Console && opts.ConsoleFile == "":
		return nil, nil
	case opts.StorageDaemon:
		return nil, errors.New("a storage daemon has no serial port")
	case opts.Console:
		if err := r.openConsole(); err != nil {
			return nil, err
		}
		chardev = fmt.Sprintf("socket,id=%s,fd=%d", consoleID, firstFile+files)
	}
	if opts.ConsoleFile != "" {
		chardev += ",logappend=on,logfile=" + Escape(opts.ConsoleFile)
	}
	return []string{"-chardev", chardev, "-serial", "chardev:" + consoleID}, nil
}

// quoteCommand returns a command line as a shell takes it.
func quoteCommand(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = arg
		if arg == "" || strings.ContainsFunc(arg, needsQuotes) {
			quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// needsQuotes reports whether r may mean something to a shell.
func needsQuotes(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("-_=+,.:/@%", r)
}
