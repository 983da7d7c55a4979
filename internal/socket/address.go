package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Parse parses an address to connect to or to listen at. It returns the network
// and the name that [Dial] and [Listen] take. async.ParseAddress documents the
// form of an address. The error says what is wrong with text and what the caller
// may have meant. It does not repeat the whole text.
func Parse(text string) (network, name string, err error) {
	switch {
	case text == "":
		return "", "", errors.New("it is empty")
	case strings.ContainsRune(text, 0):
		return "", "", errors.New("it contains a zero byte")
	case qemuOptions(text):
		return "", "", errors.New("what comes after the comma are options of QEMU's command line; leave them out")
	}
	scheme, rest, hasColon := strings.Cut(text, ":")
	if hasColon {
		switch network = strings.ToLower(scheme); network {
		case "unix", "tcp", "fd", "vsock":
			if network != scheme {
				return "", "", fmt.Errorf("write %s: in lower case", network)
			}
			name, err = parseNamed(network, rest)
			return network, name, err
		}
	}
	if problem := looksLike(text); problem != "" {
		return "", "", errors.New(problem)
	}
	if isPath(text, hasColon) {
		if strings.HasPrefix(text, "//") {
			text = "/" + strings.TrimLeft(text, "/") // unix://x is not a path
		}
		return "unix", text, checkName(text)
	}
	name, err = parseTCP(text)
	return "tcp", name, err
}

// parseNamed parses what comes after the name of a network.
func parseNamed(network, rest string) (name string, err error) {
	if network == "unix" {
		switch {
		case rest == "":
			return "", errors.New("unix: without a path")
		case strings.HasPrefix(rest, "//") && !strings.HasPrefix(rest, "///"):
			path := strings.TrimPrefix(rest, "//")
			return "", fmt.Errorf("unix: takes a path as it is; write unix:/%s, or unix:%s for one that begins in the working folder", path, path)
		}
		return rest, checkName(rest)
	}
	if strings.HasPrefix(rest, "//") {
		return "", fmt.Errorf("it is not written as a URL; write %s:%s", network, strings.Trim(rest, "/"))
	}
	switch network {
	case "fd":
		n, err := strconv.ParseUint(rest, 10, 31)
		if err != nil {
			return "", fmt.Errorf("%q is not the number of a file descriptor", rest)
		}
		return strconv.FormatUint(n, 10), nil
	case "vsock":
		cid, port, err := SplitVsock(rest)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d:%d", cid, port), nil
	}
	return parseTCP(rest)
}

// isPath reports whether text is the path of a unix socket. text does not begin
// with the name of a network. hasColon says whether it contains a colon.
func isPath(text string, hasColon bool) bool {
	return !hasColon || text[0] == '.' || text[0] == '@' || strings.ContainsRune(text, '/') || drive.MatchString(text)
}

var (
	drive     = regexp.MustCompile(`^[A-Za-z]:[\\/]`)               // a path of Windows
	url       = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://`) // of any scheme
	rooted    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:/`)    // such as file:/run/vm.qmp
	namedPipe = regexp.MustCompile(`(?i)^(npipe:)?[\\/]{2,4}[^\\/]+[\\/]pipe[\\/]`)
	digits    = regexp.MustCompile(`^[0-9]+$`)
)

// looksLike returns an error text if text looks like something that is not an
// address, such as a URL, and "" otherwise. text does not begin with the name of
// a network.
func looksLike(text string) string {
	if namedPipe.MatchString(text) {
		return "it is a named pipe of Windows, which this library does not open; open it, and hand over the connection"
	}
	if m := url.FindStringSubmatch(text); m != nil {
		host, _, _ := strings.Cut(text[len(m[0]):], "/")
		if hostPort, err := parseTCP(host); err == nil {
			return fmt.Sprintf("it is a URL; QMP is spoken over a plain connection; write %s", hostPort)
		}
		return "it is a URL; QMP is spoken over a plain connection; write HOST:PORT, or unix:PATH"
	}
	if strings.TrimSpace(text) != text {
		return "it begins or ends with white space; if that belongs to a path, write unix:PATH"
	}
	if rooted.MatchString(text) && !drive.MatchString(text) {
		return fmt.Sprintf("it names neither a known network nor a port; for a path write ./%s", text)
	}
	if digits.MatchString(text) {
		return fmt.Sprintf("it is a number; write localhost:%s for a TCP port, fd:%s for a descriptor, ./%s for a path", text, text, text)
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	ip, err := netip.ParseAddr(bare)
	switch {
	case err == nil && ip.Is6():
		return fmt.Sprintf("it is a host without a port; write [%s]:PORT", bare)
	case err == nil, strings.EqualFold(text, "localhost"):
		return fmt.Sprintf("it is a host without a port; write %s:PORT, or ./%s for a path", text, text)
	}
	return ""
}

// checkName returns what is wrong with the path, or the @name, of a unix socket.
func checkName(name string) error {
	if name[0] == '@' {
		if name == "@" {
			return errors.New("no name after @")
		}
		return nil
	}
	switch name[strings.LastIndexByte(name, '/')+1:] {
	case "", ".", "..":
		return errors.New("it is the path of a folder, not of a socket")
	}
	return nil
}

// parseTCP parses host:port.
func parseTCP(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	switch {
	case err == nil:
	case text == "":
		return "", errors.New("missing port, and a host before it; write HOST:PORT")
	case digits.MatchString(text):
		return "", fmt.Errorf("missing port, or host; write localhost:%s", text)
	case strings.Count(text, ":") > 1 && !strings.HasPrefix(text, "["):
		return "", errors.New("too many colons; write an IPv6 address in brackets, such as [::1]:4444")
	default:
		var ae *net.AddrError
		if errors.As(err, &ae) && strings.Contains(ae.Err, "missing port") {
			return "", fmt.Errorf("missing port after the host; write %s:PORT", text)
		}
		if errors.As(err, &ae) {
			return "", errors.New(ae.Err)
		}
		return "", err
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("port %q is not a number from 0 to 65535", port)
	}
	for _, r := range host {
		if unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(`\?#@,`, r) {
			return "", fmt.Errorf("host %q contains %q", host, r)
		}
	}
	return text, nil
}

// qemuOptions reports whether text is an address with options of QEMU's command
// line after it, such as ",server=on".
func qemuOptions(text string) bool {
	parts := strings.Split(text, ",")
	for _, part := range parts[1:] {
		switch key, _, _ := strings.Cut(part, "="); key {
		case "server", "wait", "nowait", "nodelay", "reconnect", "reconnect-ms", "telnet", "websocket", "tls-creds", "tls-authz",
			"abstract", "tight", "ipv4", "ipv6", "to", "id", "mux", "keep-alive", "mptcp":
		default:
			return false
		}
	}
	return len(parts) > 1
}
