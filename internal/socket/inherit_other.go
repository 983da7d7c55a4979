//go:build !unix

package socket

import (
	"errors"
	"net"
)

var errNoFDs = errors.New("inherited descriptors need a Unix system; on this system, hand over the connection itself")

func dialFD(string) (net.Conn, error) { return nil, errNoFDs }

func listenFD(string) (*Listener, error) { return nil, errNoFDs }
