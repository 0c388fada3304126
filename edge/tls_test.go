package edge_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/keelsontest"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	c := a.issue(t, "authority", nil)
	a.cert, a.key = c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue makes a certificate for loopback; without an authority, one of its own.
func (a *authority) issue(t testing.TB, name string, usage []x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: usage, BasicConstraintsValid: true, IsCA: a.cert == nil,
	}
	by, signer := a.cert, a.key
	if by == nil {
		by, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// store writes a certificate, and its key, as files.
func store(t testing.TB, c tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// secured is an edge over TLS, and what its clients need.
type secured struct {
	*running
	servers, clients *authority
	trust            *tls.Config
}

// secure runs an edge over TLS, which asks for client certificates if it shall.
func secure(t testing.TB, cfg edge.Config, mutual bool) *secured {
	t.Helper()
	s := &secured{servers: newAuthority(t), clients: newAuthority(t)}
	cfg.TLS.CertFile, cfg.TLS.KeyFile = store(t, s.servers.issue(t, "edge", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}))
	if mutual {
		cfg.TLS.ClientCAFile, _ = store(t, tls.Certificate{Certificate: [][]byte{s.clients.cert.Raw}, PrivateKey: s.clients.key})
	}
	s.trust = &tls.Config{RootCAs: s.servers.pool(), MinVersion: tls.VersionTLS12}
	s.running = start(t, cfg)
	return s
}

// as is how a client connects that has these certificates and protocols.
func (s *secured) as(certs []tls.Certificate, protocols ...string) *tls.Config {
	c := s.trust.Clone()
	c.Certificates, c.NextProtos = certs, protocols
	return c
}

func (s *secured) client(t testing.TB, h2 bool, certs ...tls.Certificate) *http.Client {
	t.Helper()
	c := client(t, h2)
	tr, _ := c.Transport.(*http.Transport)
	tr.TLSClientConfig = s.as(certs)
	tr.Protocols.SetUnencryptedHTTP2(false)
	return c
}

func (s *secured) url(path string) string { return "https://" + s.Address() + path }

func TestTLSNegotiatesTheProtocol(t *testing.T) {
	s := secure(t, edge.Config{}, false)
	for name, test := range map[string]struct {
		offered []string
		want    string
		fails   bool
	}{
		"HTTP/2":         {[]string{"h2"}, "h2", false},
		"HTTP/1.1":       {[]string{"http/1.1"}, "http/1.1", false},
		"both":           {[]string{"http/1.1", "h2"}, "h2", false},
		"nothing":        {nil, "", false},
		"what is not it": {[]string{"spdy/3"}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", s.Address(), s.as(nil, test.offered...))
			if (err != nil) != test.fails {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			if got := conn.ConnectionState().NegotiatedProtocol; got != test.want {
				t.Errorf("%q", got)
			}
		})
	}
	old := s.as(nil)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 //nolint:gosec // it must be refused
	if _, err := tls.Dial("tcp", s.Address(), old); err == nil {
		t.Error("TLS 1.1 is taken")
	}
}

func TestEveryProtocolIsServedOverTLS(t *testing.T) {
	s := secure(t, edge.Config{HSTS: 48 * time.Hour}, false)
	conn, err := grpc.NewClient("passthrough:///"+s.Address(), grpc.WithTransportCredentials(credentials.NewTLS(s.as(nil))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	var p peer.Peer
	if err := conn.Invoke(t.Context(), "/"+echoService+"/Echo", says("x"), &response{}, grpc.Peer(&p)); err != nil {
		t.Errorf("gRPC: %v", err)
	} else if p.AuthInfo.AuthType() != "tls" {
		t.Errorf("gRPC came by %s", p.AuthInfo.AuthType())
	}
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			c := s.client(t, h2)
			for protocol, opt := range map[string]connect.ClientOption{"gRPC-Web": connect.WithGRPCWeb(), "Connect": connect.WithProtoJSON()} {
				resp, err := connect.NewClient[request, response](c, s.url("/"+echoService+"/Echo"), opt).CallUnary(t.Context(), connect.NewRequest(says("y")))
				if err != nil || string(resp.Msg.GetPayload().GetBody()) != "y" {
					t.Errorf("%s: %v", protocol, err)
				}
			}
			resp, text := do(t, c, http.MethodPost, s.url("/v1/EchoService:echo"), `{"payload":{"body":"QQ=="}}`, "Content-Type", "application/json")
			if resp.StatusCode != http.StatusOK || resp.TLS == nil || resp.ProtoMajor == 2 != h2 {
				t.Errorf("REST: %d %s by %s", resp.StatusCode, text, resp.Proto)
			}
			if got := resp.Header.Values("Strict-Transport-Security"); len(got) != 1 || got[0] != "max-age=172800" {
				t.Errorf("Strict-Transport-Security is %q", got)
			}
		})
	}
}

func TestHSTSIsSaidByTLSOnly(t *testing.T) {
	for name, hsts := range map[string]time.Duration{"a default": 0, "a time": time.Hour} {
		t.Run(name, func(t *testing.T) {
			r := start(t, edge.Config{HSTS: hsts})
			if resp, _ := do(t, client(t, false), http.MethodGet, url(r, "/docs"), ""); resp.Header.Get("Strict-Transport-Security") != "" {
				t.Error("it is said in plaintext")
			}
		})
	}
	s := secure(t, edge.Config{HSTS: -1}, false)
	if resp, _ := do(t, s.client(t, true), http.MethodGet, s.url("/docs"), ""); resp.Header.Get("Strict-Transport-Security") != "" {
		t.Error("it is said although it is turned off")
	}
}

func TestClientsShowTheirCertificates(t *testing.T) {
	s := secure(t, edge.Config{}, true)
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	server := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for name, test := range map[string]struct {
		certs []tls.Certificate
		works bool
	}{
		"its own":                     {[]tls.Certificate{s.clients.issue(t, "client", client)}, true},
		"none":                        {nil, false},
		"of an authority of nobody":   {[]tls.Certificate{newAuthority(t).issue(t, "client", client)}, false},
		"of the servers' authority":   {[]tls.Certificate{s.servers.issue(t, "client", client)}, false},
		"of a server":                 {[]tls.Certificate{s.clients.issue(t, "client", server)}, false},
		"made by the client for them": {[]tls.Certificate{(&authority{}).issue(t, "client", client)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, h2 := range []bool{false, true} {
				c := s.client(t, h2, test.certs...)
				resp, err := c.Get(s.url("/docs")) //nolint:noctx // it ends
				if err == nil {
					_ = resp.Body.Close()
				}
				if (err == nil) != test.works {
					t.Errorf("HTTP/2 %t: %v", h2, err)
				}
			}
			conn, err := grpc.NewClient("passthrough:///"+s.Address(), grpc.WithTransportCredentials(credentials.NewTLS(s.as(test.certs))))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.Invoke(t.Context(), "/"+echoService+"/Echo", says("x"), &response{}); (err == nil) != test.works {
				t.Errorf("gRPC: %v", err)
			}
		})
	}
}

func TestPlaintextIsNothingForTLS(t *testing.T) {
	s := secure(t, edge.Config{H2C: true}, false)
	t.Run("HTTP/1.1", func(t *testing.T) {
		resp, err := http.ReadResponse(bufio.NewReader(raw(t, s.Address(), "GET /docs HTTP/1.1\r\nHost: x\r\n\r\n")), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "HTTPS") {
			t.Errorf("%d %s", resp.StatusCode, text)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		_, err := client(t, true).Get("http://" + s.Address() + "/docs") //nolint:noctx,bodyclose // there is none
		if err == nil {
			t.Error("it is served without TLS")
		}
	})
	t.Run("gRPC", func(t *testing.T) {
		if err := dial(t, s.Address()).Invoke(t.Context(), "/"+echoService+"/Echo", says("x"), &response{}); err == nil {
			t.Error("it is served without TLS")
		}
	})
}

func TestAHandshakeHasATime(t *testing.T) {
	s := secure(t, edge.Config{HeaderTimeout: 50 * time.Millisecond}, false)
	for name, sent := range map[string]string{"nothing": "", "the beginning of a handshake": "\x16\x03\x01\x02\x00\x01"} {
		t.Run(name, func(t *testing.T) {
			if _, err := io.Copy(io.Discard, raw(t, s.Address(), sent)); err != nil && !isReset(err) { // ends when the server closes
				t.Error(err)
			}
		})
	}
	keelsontest.Eventually(t, "no connection is left", func() bool { return s.counted(t, "keelson_edge_connections") == 0 })
}

func TestADrainOverTLSLosesNoCall(t *testing.T) {
	s := secure(t, edge.Config{}, false)
	m := says("x")
	m.FillUsername, m.ResponseSize = true, 1
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			s := secure(t, edge.Config{}, false)
			c := s.client(t, h2)
			_, _ = do(t, c, http.MethodGet, s.url("/docs"), "") // an idle connection beside the one in use
			var streams sync.WaitGroup
			defer streams.Wait()
			streams.Go(func() {
				str, err := connect.NewClient[request, response](c, s.url("/"+echoService+"/List")).CallServerStream(context.Background(), connect.NewRequest(m))
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = str.Close() }()
				n := 0
				for str.Receive() {
					n++
				}
				var ce *connect.Error
				if !errors.As(str.Err(), &ce) || ce.Code() != connect.CodeUnavailable || len(ce.Details()) == 0 || n != 1 {
					t.Errorf("after %d messages: %v", n, str.Err())
				}
			})
			keelsontest.Eventually(t, "the stream is open", func() bool { return s.counted(t, "grpc_server_msg_sent_total", "grpc_method", "List") == 1 })
			if err := s.stop(); err != nil {
				t.Error(err)
			}
		})
	}
	if err := s.stop(); err != nil {
		t.Errorf("the drain without a call: %v", err)
	}
}

func TestFilesOfTLSAreCheckedAtTheStart(t *testing.T) {
	cert, key := store(t, newAuthority(t).issue(t, "edge", nil))
	none := filepath.Join(t.TempDir(), "none.pem")
	for name, test := range map[string]struct {
		files keelson.ServerTLS
		want  string
	}{
		"no key":                {keelson.ServerTLS{CertFile: cert}, "edge.tls: cert_file and key_file belong together"},
		"no certificate":        {keelson.ServerTLS{ClientCAFile: cert}, "edge.tls: cert_file and key_file belong together"},
		"no such file":          {keelson.ServerTLS{CertFile: none, KeyFile: key}, "edge.tls: load " + none},
		"no such authority":     {keelson.ServerTLS{CertFile: cert, KeyFile: key, ClientCAFile: none}, "edge.tls.client_ca_file: open " + none},
		"a key as an authority": {keelson.ServerTLS{CertFile: cert, KeyFile: key, ClientCAFile: key}, "edge.tls.client_ca_file: " + key + " holds no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := keelson.New("edgetest", config(), keelson.WithLogOutput(io.Discard))
			if err != nil {
				t.Fatal(err)
			}
			e, err := edge.New(s, edge.Config{Address: "127.0.0.1:0", TLS: test.files})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Listen(t.Context()); err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
