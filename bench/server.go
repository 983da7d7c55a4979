package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// The server is a process of its own, and does as little as it can: each socket has one
// fixed reply. It looks for the ends of commands by counting braces, copies the id if
// that is the last member, and answers everything that one read returned by one write.

// The sockets of the server.
const (
	small   = "small"  // a short reply
	oob     = "oob"    // the same, and the greeting offers out-of-band execution
	reply1  = "1MiB"   // a reply of 1 MiB
	reply16 = "16MiB"  // a reply of 16 MiB
	flood   = "events" // as many events as the argument count says, after the reply
)

const (
	greeting = `{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 10}, "package": ""}, "capabilities": [%s]}}` + "\r\n"
	status   = `{"status": "running", "running": true}`
	event    = `{"timestamp": {"seconds": 1700000000, "microseconds": 123456}, "event": "BLOCK_IO_ERROR", "data": {"device": "drive0", "operation": "write", "action": "report"}}` + "\r\n"

	// row is one of the objects of a large reply: about what query-named-block-nodes
	// returns for a node.
	row = `{"iops_rd": 0, "detect_zeroes": "off", "image": {"virtual-size": 1073741824, "filename": "/var/lib/machines/disk%06d.qcow2", "format": "qcow2", "actual-size": 9007199254740993, "dirty-flag": false}, "ro": false, "node-name": "disk%06d", "backing_file_depth": 0, "drv": "qcow2", "iops": 0, "bps_wr": 0, "write_threshold": 0, "encrypted": false, "bps": 0, "bps_rd": 0, "cache": {"no-flush": false, "direct": false, "writeback": true}, "file": "/var/lib/machines/disk%06d.qcow2"}`
)

// rows returns a list of rows of about size bytes.
func rows(size int) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, row, i, i, i)
	}
	b.WriteByte(']')
	return b.String()
}

// listen listens on all sockets, in the folder dir.
func listen(dir string) error {
	fixed := func(value string) func() string { return func() string { return value } }
	large := func(size int) func() string { return sync.OnceValue(func() string { return rows(size) }) }
	for _, s := range []struct {
		name, capabilities string
		value              func() string
	}{
		{small, "", fixed(status)},
		{oob, `"oob"`, fixed(status)},
		{flood, "", fixed("{}")},
		{reply1, "", large(1 << 20)},
		{reply16, "", large(16 << 20)},
	} {
		ln, err := net.Listen("unix", filepath.Join(dir, s.name))
		if err != nil {
			return err
		}
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				c := connection{conn: conn, value: s.value(), events: s.name == flood}
				go c.serve(fmt.Sprintf(greeting, s.capabilities))
			}
		}()
	}
	return nil
}

// serve runs the server until its standard input ends.
func serve(dir string) error {
	if err := listen(dir); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// A connection answers the commands of one client.
type connection struct {
	conn   net.Conn
	value  string // of the reply to each command
	events bool   // whether a command asks for events
	began  bool   // whether capabilities were negotiated
	out    []byte
}

func (c *connection) serve(greeting string) {
	defer c.conn.Close()
	if _, err := io.WriteString(c.conn, greeting); err != nil {
		return
	}
	buf := make([]byte, 64<<10)
	held := 0 // bytes of a command that is not complete
	for {
		n, err := c.conn.Read(buf[held:])
		if err != nil {
			return
		}
		text := buf[:held+n]
		c.out = c.out[:0]
		for {
			end := endOf(text)
			if end < 0 {
				break
			}
			if err := c.answer(text[:end]); err != nil {
				return
			}
			text = text[end:]
		}
		if _, err := c.conn.Write(c.out); err != nil {
			return
		}
		held = copy(buf, text)
	}
}

// endOf returns the length of the first command in text, or -1 if none is complete. No
// command of the clients has a brace in a string.
func endOf(text []byte) int {
	depth := 0
	for i, b := range text {
		switch b {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// answer appends the reply to a command, or writes it if it is large.
func (c *connection) answer(command []byte) error {
	value := c.value
	if !c.began {
		value, c.began = "{}", true
	}
	c.out = append(c.out, `{"return": `...)
	if len(value) < 64<<10 {
		c.out = append(c.out, value...)
	} else {
		if _, err := c.conn.Write(c.out); err != nil {
			return err
		}
		if _, err := io.WriteString(c.conn, value); err != nil {
			return err
		}
		c.out = c.out[:0]
	}
	if i := bytes.LastIndexByte(command, ':'); i > 0 && bytes.HasSuffix(command[:i], []byte(`"id"`)) {
		c.out = append(c.out, `, "id": `...)
		c.out = append(c.out, bytes.TrimSpace(command[i+1:len(command)-1])...)
	}
	c.out = append(c.out, "}\r\n"...)
	if !c.events {
		return nil
	}
	return c.flood(command)
}

// flood writes as many events as the command asks for.
func (c *connection) flood(command []byte) error {
	_, after, ok := bytes.Cut(command, []byte(`"count":`))
	if !ok {
		return nil
	}
	digits := bytes.TrimLeft(after, " ")
	if i := bytes.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits = digits[:i]
	}
	n, err := strconv.Atoi(string(digits))
	if err != nil {
		return err
	}
	const atOnce = 1000
	block := strings.Repeat(event, atOnce)
	for ; n > 0; n -= atOnce {
		c.out = append(c.out, block[:min(n, atOnce)*len(event)]...)
		if _, err := c.conn.Write(c.out); err != nil {
			return err
		}
		c.out = c.out[:0]
	}
	return nil
}
