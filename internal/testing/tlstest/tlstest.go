// Package tlstest makes certificates for tests, as Go's crypto/tls and as QEMU's
// tls-creds-x509 read them.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Host is the host name in the certificates.
const Host = "localhost"

// A CA signs certificates.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New returns a new CA.
func New(t testing.TB) *CA {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA " + rand.Text()}, // clients tell CAs apart by name
		NotBefore: begin, NotAfter: end,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return &CA{cert: sign(t, template, template, key, key), key: key}
}

// The certificates are valid at the time of the system, and at that of a bubble of
// testing/synctest.
var (
	begin = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	end   = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Pool returns a pool that has only this CA.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// Certificate returns a certificate for [Host] and its IP addresses, which a server and a
// client can use. change may be nil. It changes the certificate before it is signed.
func (ca *CA) Certificate(t testing.TB, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "the test's certificate"},
		NotBefore: begin, NotAfter: end,
		DNSNames: []string{Host}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, // QEMU 5.2 wants the latter, too
	}
	if change != nil {
		change(template)
	}
	cert := sign(t, template, ca.cert, key, ca.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// Folder returns a new folder for the property dir of QEMU's tls-creds-x509. QEMU
// accepts what ca has signed, and shows cert. endpoint is "server" or "client", as the
// property of that name.
func (ca *CA) Folder(t testing.TB, endpoint string, cert tls.Certificate) string {
	t.Helper()
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca-cert.pem":          {Type: "CERTIFICATE", Bytes: ca.cert.Raw},
		endpoint + "-cert.pem": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		endpoint + "-key.pem":  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign returns template as a certificate for key, signed by parent.
func sign(t testing.TB, template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
