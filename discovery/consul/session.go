package consul

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// dialTimeout bounds a connection attempt: the agent is near.
	dialTimeout = 2 * time.Second
	// maxBody is the longest answer that is read, in bytes: a hundred thousand instances.
	maxBody = 256 << 20
	// notOurs stands in for the token while Consul's client is made: with none it would take CONSUL_HTTP_TOKEN. No request carries it.
	notOurs = "-"
)

// The dead peer of a query that waits is found out within about ten seconds.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

// session is the connections of one call of the driver. One goroutine at a time.
type session struct {
	cfg       Config
	at        endpoint
	token     string // the one last sent
	transport *http.Transport
	http      *http.Client
	api       *api.Client
}

// open reads the files of TLS and connects nothing yet.
func (d *Driver) open() (*session, error) {
	s := &session{cfg: d.cfg, at: d.at}
	secure, err := s.tls()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive}
	s.transport = &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if s.at.scheme == schemeUnix {
				network, address = "unix", s.at.path
			}
			return dialer.DialContext(ctx, network, address)
		},
		TLSClientConfig:     secure,
		TLSHandshakeTimeout: 2 * dialTimeout,
		// The agent is near: compressing costs both sides more than it saves.
		DisableCompression: true,
	}
	s.http = &http.Client{
		Transport: s,
		// Where a redirect leads nobody has configured, and the token would go there too.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s.api, err = api.NewClient(&api.Config{
		Address: s.at.host, Scheme: s.scheme(), PathPrefix: s.prefix(), HttpClient: s.http, Transport: s.transport, Token: notOurs,
	})
	return s, err
}

// close ends the session's connections.
func (s *session) close() { s.transport.CloseIdleConnections() }

func (s *session) scheme() string {
	if s.at.scheme == schemeUnix {
		return schemeHTTP
	}
	return s.at.scheme
}

func (s *session) prefix() string {
	if s.at.scheme == schemeUnix {
		return ""
	}
	return s.at.path
}

func (s *session) tls() (*tls.Config, error) {
	if s.at.scheme != schemeHTTPS {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.cfg.ServerName}
	if s.cfg.CAFile != "" {
		pem, err := os.ReadFile(s.cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s has no PEM certificate in it", s.cfg.CAFile)
		}
	}
	if s.cfg.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load cert_file and key_file: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// RoundTrip sends a request with what the configuration says and nothing that Consul's client took from the environment, and bounds what
// comes back.
func (s *session) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := s.readToken()
	if err != nil {
		return nil, err
	}
	s.token = token
	r = r.Clone(r.Context())
	r.Header.Del("X-Consul-Token")
	if token != "" {
		r.Header.Set("X-Consul-Token", token)
	}
	r.Header.Set("User-Agent", "keelson")
	q := r.URL.Query()
	q.Del("ns")
	q.Del("partition")
	r.URL.RawQuery = q.Encode()
	resp, err := s.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	return s.guard(r, resp)
}

func (s *session) readToken() (string, error) {
	if s.cfg.TokenFile == "" {
		return s.cfg.Token, nil
	}
	b, err := os.ReadFile(s.cfg.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read token_file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("token_file: %s does not hold one token", s.cfg.TokenFile)
	}
	return token, nil
}

// guard refuses a page where data belongs, and bounds the rest.
func (s *session) guard(r *http.Request, resp *http.Response) (*http.Response, error) {
	if resp.StatusCode != http.StatusOK {
		resp.Body = &bounded{ReadCloser: resp.Body, left: maxBody, cut: 4 * maxMessage}
		return resp, nil
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxBody}
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if r.Method == http.MethodGet && (err != nil || media != "application/json") || media == "text/html" {
		start, _ := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
		_ = resp.Body.Close() // of an answer that nobody wants
		return nil, faultf(kindMalformed, "answered with content of type %q instead of JSON, is there a proxy in between? It begins: %s",
			resp.Header.Get("Content-Type"), s.clean(string(start)))
	}
	return resp, nil
}

// bounded is a body that ends with an error when it is too long, or silently at cut when that is set.
type bounded struct {
	io.ReadCloser
	left int
	cut  int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.cut > 0 && b.left <= maxBody-b.cut {
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return n, faultf(kindMalformed, "answered with more than %d bytes", maxBody)
	}
	return n, err
}

// refused reports whether a server answered that the thing is not there.
func refused(err error) bool {
	var f *fault
	return errors.As(err, &f) && f.kind == kindMissing
}
