package keelson

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc/credentials"
)

// enabled tells whether any file is set.
func (c ServerTLS) enabled() bool { return c != ServerTLS{} }

// enabled tells whether any file is set.
func (c ClientTLS) enabled() bool { return c != ClientTLS{} }

// Load reads the files of a listener, for TLS 1.3 and HTTP/2 with no session tickets;
// a listener for others than services may permit more. With a client CA, clients have
// to show a certificate of it. The path is the setting's, such as grpc.tls: every error
// names the key to change.
func (c ServerTLS) Load(path string) (*tls.Config, error) {
	cert, err := loadPair(path, c.CertFile, c.KeyFile)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}, SessionTicketsDisabled: true}
	if c.ClientCAFile == "" {
		return cfg, nil
	}
	if cfg.ClientCAs, err = loadPool(path+".client_ca_file", c.ClientCAFile); err != nil {
		return nil, err
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	return cfg, nil
}

// load reads the files of a client.
func (c ClientTLS) load(path string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: c.ServerName}
	var err error
	if c.CAFile != "" {
		if cfg.RootCAs, err = loadPool(path+".ca_file", c.CAFile); err != nil {
			return nil, err
		}
	}
	if c.CertFile == "" && c.KeyFile == "" {
		return cfg, nil
	}
	cert, err := loadPair(path, c.CertFile, c.KeyFile)
	if err != nil {
		return nil, err
	}
	cfg.Certificates = []tls.Certificate{cert}
	return cfg, nil
}

func loadPair(path, certFile, keyFile string) (tls.Certificate, error) {
	if certFile == "" || keyFile == "" {
		return tls.Certificate{}, fmt.Errorf("%s: cert_file and key_file belong together; set both", path)
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s: load %s and %s: %w", path, certFile, keyFile, err)
	}
	return cert, nil
}

func loadPool(path, file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %s holds no PEM certificate", path, file)
	}
	return pool, nil
}

var errPlaintext = errors.New("plaintext gRPC off loopback is refused")

// checkPlaintext refuses to speak plaintext off loopback unless told so.
func checkPlaintext(key, address string, insecure bool) error {
	if insecure || IsLoopback(address) {
		return nil
	}
	return fmt.Errorf("%s: %w: %q; set the TLS files beside it, or insecure: true", key, errPlaintext, address)
}

// loopbackOnly is plaintext that goes no further than this machine, whatever a
// registry or a name server said: connections elsewhere end before a byte is sent.
type loopbackOnly struct {
	credentials.TransportCredentials
}

// ClientHandshake refuses connections off loopback.
func (l loopbackOnly) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		return nil, nil, fmt.Errorf("connect to %s: %w: set client.tls, or insecure: true", a, errPlaintext)
	}
	return l.TransportCredentials.ClientHandshake(ctx, authority, conn)
}

// Clone keeps the restriction.
func (l loopbackOnly) Clone() credentials.TransportCredentials {
	return loopbackOnly{l.TransportCredentials.Clone()}
}

// IsLoopback tells whether an address, host:port or a host, can be reached from
// this machine only: a loopback address or localhost. Other names are not trusted
// to lead there, and "" is not one: it is every address of the machine.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
