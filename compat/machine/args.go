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

// Escape doubles the commas in value. QEMU requires that in the value of an option
// such as "file=VALUE,if=virtio".
func Escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }

// commandLine returns the whole command line: the wrapper, the binary, the
// machine's own options, and then args, the caller's. For most options QEMU takes
// the last one, which is the caller's. commandLine opens the sockets that the
// options name.
func (r *run) commandLine(args []string) ([]string, error) {
	for _, arg := range args {
		if arg == "-daemonize" || arg == "--daemonize" {
			return nil, fmt.Errorf("the option %s moves QEMU to another process, which the machine cannot watch: remove the option", arg)
		}
	}
	opts := &r.machine.opts
	switch {
	case !opts.Detached:
	case opts.Monitor != MonitorDial && opts.Monitor != MonitorNone:
		return nil, errors.New("a detached process must listen for its monitor's client: set machine.Options.Monitor to MonitorDial, or to MonitorNone")
	case opts.Console:
		return nil, errors.New("the console of a detached process would be closed when this program ends: use machine.Options.ConsoleFile, or a -serial option")
	}
	line := slices.Concat(opts.Wrapper, []string{r.machine.binary})
	if !opts.StorageDaemon && !opts.KeepDisplay {
		line = append(line, "-display", "none", "-vga", "none")
	}
	if opts.Monitor != MonitorNone {
		monitor, err := r.monitorArgs()
		if err != nil {
			return nil, fmt.Errorf("monitor: %w", err)
		}
		line = append(line, monitor...)
	}
	console, err := r.consoleArgs()
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return slices.Concat(line, console, args), nil
}

// monitorArgs returns the options for the monitor. QEMU has several, and -qmp with a
// character device is the one that all versions from 5.2 to 11.1 take without a
// warning. 11.1 warns of -mon and advises -object monitor-qmp, which older versions
// do not know. To ask each binary what it knows would take a quarter of a second,
// and is not possible where only the wrapper can reach the binary. The storage
// daemon has --monitor in all versions.
func (r *run) monitorArgs() ([]string, error) {
	chardev := "socket,id=" + monitorID
	switch r.machine.opts.Monitor {
	case MonitorInherit:
		fd, err := r.openMonitor()
		if err != nil {
			return nil, err
		}
		chardev += fmt.Sprintf(",fd=%d", fd)
	case MonitorDial:
		// With wait=on QEMU does not go on before this program has connected. With
		// wait=off QEMU 7.2 sometimes never answers a client that connects while
		// QEMU starts.
		chardev += ",path=" + Escape(r.monitor) + ",server=on,wait=on"
	default:
		chardev += ",path=" + Escape(r.monitor)
	}
	if r.machine.opts.StorageDaemon {
		return []string{"--chardev", chardev, "--monitor", "chardev=" + monitorID}, nil
	}
	return []string{"-chardev", chardev, "-qmp", "chardev:" + monitorID}, nil
}

// consoleArgs returns the options for the first serial port.
func (r *run) consoleArgs() ([]string, error) {
	opts := &r.machine.opts
	chardev := "null,id=" + consoleID
	switch {
	case !opts.Console && opts.ConsoleFile == "":
		return nil, nil
	case opts.StorageDaemon:
		return nil, errors.New("a storage daemon has no serial port")
	case opts.Console:
		fd, err := r.openConsole()
		if err != nil {
			return nil, err
		}
		chardev = fmt.Sprintf("socket,id=%s,fd=%d", consoleID, fd)
	}
	if opts.ConsoleFile != "" {
		chardev += ",logappend=on,logfile=" + Escape(opts.ConsoleFile)
	}
	return []string{"-chardev", chardev, "-serial", "chardev:" + consoleID}, nil
}

// quoteCommand returns a command line with the quotes that a shell needs.
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
