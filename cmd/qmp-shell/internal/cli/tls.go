package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// tls returns the configuration that the options ask for, or nil if TLS is not wanted.
func (c *connection) tls() (*tls.Config, error) {
	if !c.TLS && c.TLSDir == "" && c.TLSCA == "" && c.TLSCert == "" && c.TLSKey == "" && c.TLSName == "" {
		return nil, nil
	}
	config := &tls.Config{ServerName: c.TLSName}
	ca, cert, key := c.TLSCA, c.TLSCert, c.TLSKey
	if c.TLSDir != "" {
		if ca == "" {
			ca = filepath.Join(c.TLSDir, "ca-cert.pem")
		}
		client := filepath.Join(c.TLSDir, "client-cert.pem")
		if _, err := os.Stat(client); cert == "" && !errors.Is(err, fs.ErrNotExist) {
			cert, key = client, filepath.Join(c.TLSDir, "client-key.pem")
		}
	}
	if (cert == "") != (key == "") {
		return nil, wrong("a certificate and its key are given together: --tls-cert and --tls-key")
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, wrong("TLS: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, wrong("TLS: %s has no certificate in PEM format", ca)
		}
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, wrong("TLS: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
