package keelson_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/internal/testservers/port"
	"github.com/keelson-dev/keelson/keelsontest"
)

func TestTLSOnTheOpsAndDebugListeners(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	ca.issue(t, dir, "server")
	ca.issue(t, dir, "client")
	files := keelson.ServerTLS{CertFile: pemFile(dir, "server"), KeyFile: keyFile(dir, "server"), ClientCAFile: pemFile(dir, "ca")}
	cfg := quiet()
	cfg.Ops = keelson.OpsConfig{Address: port.Free(t), TLS: files}
	cfg.Debug = keelson.DebugConfig{Address: port.Free(t), TLS: files}
	_, _, ended, cancel := runTCP(t, cfg, io.Discard)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	pair, err := tls.LoadX509KeyPair(pemFile(dir, "client"), keyFile(dir, "client"))
	must(t, err)
	for name, tc := range map[string]struct {
		scheme string
		certs  []tls.Certificate
		ok     bool
	}{
		"with a certificate":    {"https", []tls.Certificate{pair}, true},
		"without a certificate": {"https", nil, false},
		"plaintext":             {"http", nil, false},
	} {
		for _, url := range []string{cfg.Ops.Address + "/readyz", cfg.Debug.Address + "/debug/keelson/policy"} {
			t.Run(name+"/"+url, func(t *testing.T) {
				transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: tc.certs}, ForceAttemptHTTP2: true}
				defer transport.CloseIdleConnections()
				resp, err := (&http.Client{Transport: transport}).Get(tc.scheme + "://" + url)
				if err == nil {
					must(t, resp.Body.Close())
				}
				if ok := err == nil && resp.StatusCode == http.StatusOK; ok != tc.ok {
					t.Errorf("%v, %v", resp, err)
				}
			})
		}
	}
	cancel()
	must(t, <-ended)
}

func TestWrongTLSFilesOfAnyListenerEndTheStartByName(t *testing.T) {
	dir := t.TempDir()
	newAuthority(t, dir, "ca").issue(t, dir, "server")
	garbage := pemFile(dir, "garbage")
	must(t, os.WriteFile(garbage, []byte("no certificate"), 0o600))
	good := keelson.ServerTLS{CertFile: pemFile(dir, "server"), KeyFile: keyFile(dir, "server")}
	for want, set := range map[string]func(*keelson.Config){
		"grpc.tls.client_ca_file": func(c *keelson.Config) { c.GRPC.TLS = good; c.GRPC.TLS.ClientCAFile = garbage },
		"ops.tls": func(c *keelson.Config) {
			c.Ops = keelson.OpsConfig{Address: "127.0.0.1:0", TLS: good}
			c.Ops.TLS.KeyFile = garbage
		},
		"debug.tls": func(c *keelson.Config) {
			c.Debug = keelson.DebugConfig{Address: "127.0.0.1:0", TLS: keelson.ServerTLS{ClientCAFile: garbage}}
		},
	} {
		t.Run(want, func(t *testing.T) {
			cfg := quiet()
			set(&cfg)
			s, err := keelson.New("shop", cfg, keelson.WithLogOutput(io.Discard))
			must(t, err)
			if err := s.Run(bounded(t)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Run: %v; want it to name %s", err, want)
			}
		})
	}
}

func TestReadinessFollowsTheInstanceAloneAndNeverADependency(t *testing.T) {
	cfg := quiet()
	cfg.Ops.Address = port.Free(t)
	_, s, ended, cancel := runTCP(t, cfg, io.Discard)
	get := func() (int, string) {
		resp, err := http.Get("http://" + cfg.Ops.Address + "/readyz")
		must(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp.StatusCode, string(body)
	}
	s.Dependency("database", func(context.Context) error { return io.ErrUnexpectedEOF })
	keelsontest.Eventually(t, "the dependency to fail", func() bool { code, body := get(); return code == http.StatusOK && strings.Contains(body, "degraded") })
	disk := s.Condition("disk")
	disk.Set(false, "full")
	if code, body := get(); code != http.StatusServiceUnavailable || !strings.Contains(body, "full") {
		t.Errorf("a full disk: %d %s", code, body)
	}
	disk.Set(true, "")
	if code, _ := get(); code != http.StatusOK {
		t.Errorf("after the disk: %d", code)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	must(t, <-ended)
}
