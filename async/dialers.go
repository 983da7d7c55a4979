package async

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"

	"github.com/goqmp/qmp/internal/socket"
)

// DialAddr returns an [Options].Dialer that connects to addr as Connect does without
// a Dialer. [ParseAddress] says what addr may be. It is meant for a Dialer that is built
// on another one, such as [OverTLS]. If addr is not an address, each dial returns the
// [*AddressError].
func DialAddr(addr string) func(context.Context) (net.Conn, error) {
	where, err := ParseAddress(addr)
	return func(ctx context.Context) (net.Conn, error) {
		if err != nil {
			return nil, err
		}
		return where.dial(ctx)
	}
}

// DialFD returns an [Options].Dialer that takes the inherited descriptor fd, a connected
// socket, as the address "fd:N" does: see [ParseAddress] for who owns the descriptor.
func DialFD(fd uintptr) func(context.Context) (net.Conn, error) {
	return DialAddr("fd:" + strconv.FormatUint(uint64(fd), 10))
}

// DialTLS returns an [Options].Dialer that connects to addr and speaks TLS there, as a
// monitor of QEMU does whose chardev has tls-creds:
//
//	-object tls-creds-x509,id=tls0,dir=/etc/pki/qemu,endpoint=server,verify-peer=on
//	-chardev socket,id=mon,host=0.0.0.0,port=4444,server=on,wait=off,tls-creds=tls0
//	-mon chardev=mon,mode=control
//
// The config needs RootCAs, with the CA that signed the server's certificate, unless the
// system knows that CA. If the server verifies its clients (verify-peer), the config
// needs Certificates, too: a client certificate which a CA of the server has signed.
// DialTLS copies config. Nil is an empty config.
//
// The name in the server's certificate has to match ServerName of config. If that is
// "", it has to match the host in addr, or localhost if addr has no host. A unix socket,
// vsock and an inherited descriptor have no host name: they need ServerName. (QEMU
// itself speaks TLS over TCP only. A proxy may offer it at a unix socket.)
//
// Package crypto/tls has neither pre-shared keys nor anonymous connections. So QEMU's
// tls-creds-psk and tls-creds-anon cannot be used, only tls-creds-x509.
//
// The error is a [*TLSError] if the connection was made and TLS failed. A server that
// refuses this side's certificate does so after that, in place of the greeting: then
// the error of Connect has a TLSError in it. Otherwise the error is that of a connection
// without TLS. Errors of certificates are permanent: Connect does not dial again.
//
// The connections that the Dialer returns have all methods of a [*tls.Conn], such as
// ConnectionState.
func DialTLS(addr string, config *tls.Config) func(context.Context) (net.Conn, error) {
	config = cloneTLS(config)
	if where, err := ParseAddress(addr); err == nil && where.Network == "tcp" && config.ServerName == "" {
		host, _, _ := net.SplitHostPort(where.Name) // ParseAddress has checked it
		if config.ServerName = host; host == "" {
			config.ServerName = "localhost"
		}
	}
	return OverTLS(DialAddr(addr), config)
}

// OverTLS is [DialTLS] over the connections that dial makes: through a proxy or over
// SSH, say. The config needs ServerName.
func OverTLS(dial func(context.Context) (net.Conn, error), config *tls.Config) func(context.Context) (net.Conn, error) {
	config = cloneTLS(config)
	return func(ctx context.Context) (net.Conn, error) {
		if config.ServerName == "" && !config.InsecureSkipVerify {
			return nil, &TLSError{permanent: true, Err: errNoServerName}
		}
		conn, err := dial(ctx)
		if err != nil || conn == nil {
			return nil, err
		}
		return clientTLS(ctx, conn, config)
	}
}

func cloneTLS(config *tls.Config) *tls.Config {
	if config == nil {
		return &tls.Config{}
	}
	return config.Clone()
}

// clientTLS makes a TLS connection over conn, to a server.
func clientTLS(ctx context.Context, conn net.Conn, config *tls.Config) (net.Conn, error) {
	asked := &certificateRequest{}
	config = config.Clone()
	config.GetClientCertificate = asked.answer(config)
	secured, err := socket.TLS(ctx, conn, socket.TLSOptions{Config: config, Refused: asked.refused})
	switch {
	case err == nil:
		return secured, nil
	case ctx.Err() != nil:
		return nil, err
	}
	return nil, newTLSError(err, asked.advice(), false)
}

// acceptTLS makes a TLS connection over conn, to a client.
func acceptTLS(ctx context.Context, conn net.Conn, config *tls.Config) (net.Conn, error) {
	secured, err := socket.TLS(ctx, conn, socket.TLSOptions{Config: config, Server: true, Refused: refusedServer})
	switch {
	case err == nil:
		return secured, nil
	case ctx.Err() != nil:
		return nil, err
	}
	return nil, newTLSError(err, advicePeer, true)
}
