package async

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/cenkalti/backoff/v4"

	"github.com/goqmp/qmp/internal/harmless"
)

// A TLSError says that a connection was made, and that TLS failed on it. It stands in a
// [*ConnectError].
//
// Err is the cause: a [*tls.CertificateVerificationError] if this side does not accept
// the other side's certificate, a [tls.RecordHeaderError] if the other side does not
// speak TLS, a [*net.OpError] with a [tls.AlertError] in it if the other side refused
// this one, io.EOF or syscall.ECONNRESET if it only hung up.
type TLSError struct {
	Advice string // the likely cause and what to do; "" if Err says it
	Err    error

	permanent bool // another attempt would fail, too
}

func (e *TLSError) Error() string {
	text := "TLS: " + harmless.Line(strings.TrimPrefix(e.Err.Error(), "tls: "))
	if e.Advice != "" {
		text += " (" + e.Advice + ")"
	}
	return text
}

func (e *TLSError) Unwrap() error { return e.Err }

// Permanent reports whether another attempt is going to fail as well, until a
// certificate or a setting of one side has changed. The client does not dial again then,
// whatever Backoff in [Options] says. On a connection that the client has accepted it is
// false: another peer may be next.
func (e *TLSError) Permanent() bool { return e.permanent }

// As makes a permanent TLSError match a [*backoff.PermanentError].
func (e *TLSError) As(target any) bool {
	p, ok := target.(**backoff.PermanentError)
	if ok && e.permanent {
		*p = &backoff.PermanentError{Err: e}
		return true
	}
	return false
}

var errNoServerName = errors.New("set ServerName in the tls.Config to a name in the server's certificate: " +
	"the address has no host name that could be compared with it")

// Advice for errors that occur in more than one place.
const (
	adviceClientCert = "the server asks for a client certificate; set Certificates in the tls.Config, to one that a CA of the server has signed"
	adviceRefused    = "the server may have refused this side's certificate: check that a CA of the server has signed it, that it has not expired, " +
		"that it may be used by clients, and tls-authz of the chardev"
	advicePeer     = "the peer may have refused this side's certificate: QEMU compares its names with host= of the chardev, and needs its CA in ca-cert.pem"
	adviceNoShared = "QEMU ends the connection here if its tls-creds are tls-creds-psk or tls-creds-anon, which crypto/tls does not have; use tls-creds-x509"
)

// newTLSError returns the error of a TLS handshake that failed with err. refused is the
// advice if the other side has refused this one. server says that this side was the TLS
// server.
func newTLSError(err error, refused string, server bool) *TLSError {
	err = asEnd(err)
	e := &TLSError{Err: err, permanent: !server}
	var invalid x509.CertificateInvalidError
	var header tls.RecordHeaderError
	switch {
	case HungUp(err):
		e.permanent = false
		if e.Advice = adviceNoShared; server {
			e.Advice = refused
		}
	case isTimeout(err):
		e.permanent = false
	case errors.As(err, new(x509.UnknownAuthorityError)):
		e.Advice = "set RootCAs in the tls.Config to the CA that signed the server's certificate, ca-cert.pem of QEMU's tls-creds"
		if server {
			e.Advice = "set ClientCAs in the tls.Config to the CA that signed the peer's certificate"
		}
	case errors.As(err, new(x509.HostnameError)):
		e.Advice = "set ServerName in the tls.Config to a name in the server's certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.Advice = "make a new certificate, or correct the clock of this host"
	case errors.As(err, &header):
		e.Advice = "the other side does not speak TLS; connect without TLS, or set tls-creds= on QEMU's chardev"
	case isAlert(err):
		e.Advice = refused
	}
	return e
}

func isTimeout(err error) bool {
	limit, ok := errors.AsType[net.Error](err)
	return ok && limit.Timeout()
}

// isAlert reports whether err is an alert that the other side sent.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// A certificateRequest is what happened when the server asked for a client certificate.
// One goroutine makes the connection, and after that one reads from it.
type certificateRequest struct {
	came bool  // the server asked
	sent bool  // this side has sent a certificate
	why  error // why none of those in Config.Certificates suits; nil if there is none
}

// answer returns the GetClientCertificate for a connection. It chooses as that of
// config does; if that is nil, as crypto/tls does.
func (r *certificateRequest) answer(config *tls.Config) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	choose := config.GetClientCertificate
	if choose == nil {
		choose = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			for i := range config.Certificates {
				err := info.SupportsCertificate(&config.Certificates[i])
				if err == nil {
					return &config.Certificates[i], nil
				}
				r.why = err
			}
			return &tls.Certificate{}, nil
		}
	}
	return func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := choose(info)
		r.came, r.sent = true, err == nil && cert != nil && len(cert.Certificate) > 0
		return cert, err
	}
}

// advice returns the advice if the server has refused this side.
func (r *certificateRequest) advice() string {
	switch {
	case !r.came || r.sent:
		return adviceRefused
	case r.why != nil:
		return fmt.Sprintf("the server asks for a client certificate, and none of Certificates in the tls.Config suits it: %v", r.why)
	default:
		return adviceClientCert
	}
}

// refused returns the error of a first read that failed with err: QEMU checks the
// client's certificate after the TLS handshake and only hangs up. Other servers send an
// alert, which arrives after the handshake, too, since TLS 1.3.
func (r *certificateRequest) refused(err error) error {
	end := asEnd(err)
	if !r.came || !isAlert(err) && !HungUp(end) {
		return err
	}
	return &TLSError{Err: end, Advice: r.advice(), permanent: isAlert(err) || !r.sent}
}

// refusedServer returns the error of a first read that failed with err, if this side is
// the TLS server.
func refusedServer(err error) error {
	if end := asEnd(err); isAlert(err) || HungUp(end) {
		return &TLSError{Err: end, Advice: advicePeer}
	}
	return err
}
