package keelson_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
	"testing"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/keelsontest"
)

func TestAFaultyConfigurationSaysAllThatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "service.yaml")
	if err := os.WriteFile(file, []byte("grpc:\n  adress: 127.0.0.1:0\nlog:\n  level: loud\ndrain:\n  calls: soon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var cfg keelson.Config
	err := keelson.LoadConfig(&cfg, []string{"--config", file, "--set", "trace.ratio=2"})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"service.yaml:2", "address", "service.yaml:4", "debug", "service.yaml:6", "drain.calls", "trace.ratio"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q:\n%v", want, err)
		}
	}
}

func TestAServicesOwnSettingsStandBesideTheChassis(t *testing.T) {
	type settings struct {
		keelson.Config `yaml:",inline"`
		Store          struct {
			Path string `yaml:"path" default:"users.db"`
		} `yaml:"store"`
	}
	var cfg settings
	if err := keelson.LoadConfig(&cfg, []string{"--set", "store.path=x.db", "--set", "ops.address=off"}); err != nil {
		t.Fatal(err)
	}
	if cfg.Store.Path != "x.db" || cfg.Ops.Address != "off" || cfg.GRPC.Address != "127.0.0.1:9090" {
		t.Errorf("got %q, %q, %q", cfg.Store.Path, cfg.Ops.Address, cfg.GRPC.Address)
	}
	var wrong struct{ Port int }
	if err := keelson.LoadConfig(&wrong, nil); err == nil {
		t.Error("a struct without a Config was accepted")
	}
}

// runTCP runs a service on loopback until the test ends, and returns the gRPC
// and ops addresses.
func runTCP(t *testing.T, cfg keelson.Config, log io.Writer) (address string, s *keelson.Service, ended <-chan error, cancel context.CancelFunc) {
	t.Helper()
	cfg.Drain.Quiet, cfg.Drain.Propagation = time.Millisecond, time.Millisecond
	return runImpl(t, cfg, log, behaving(func(context.Context) error { return nil }))
}

// runImpl is runTCP with an implementation of the test service.
func runImpl(t *testing.T, cfg keelson.Config, log io.Writer, impl testpb.TestServiceServer) (address string, s *keelson.Service, ended <-chan error, cancel context.CancelFunc) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err = keelson.New("shop", cfg, keelson.WithListener(l), keelson.WithLogOutput(log))
	if err != nil {
		t.Fatal(err)
	}
	testpb.RegisterTestServiceServer(s, impl)
	started := make(chan struct{})
	s.Go("tell", func(ctx context.Context) error { close(started); <-ctx.Done(); return nil })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(cancel)
	select {
	case <-started:
	case err := <-done:
		t.Fatalf("the service did not start: %v", err)
	}
	return l.Addr().String(), s, done, cancel
}

func TestAReloadTakesEffectOrChangesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "service.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const base = "ops: {address: 'off'}\ndebug: {address: 'off'}\n"
	write(base)
	var cfg keelson.Config
	if err := keelson.LoadConfig(&cfg, []string{"--config", file}); err != nil {
		t.Fatal(err)
	}
	cfg.Log.Format = "json"
	var log logBuffer
	_, s, ended, cancel := runTCP(t, cfg, &log)
	write(base + "log: {level: debug}\nmethods: [{method: /grpc.testing.TestService/UnaryCall, rate: 1}]\n")
	keelsontest.Eventually(t, "the reload", func() bool { return s.Logger().Enabled(t.Context(), -4) })
	write(base + "log: {level: debug}\nmethods: [{method: /grpc.testing.TestService/UnaryCal, rate: 1}]\n")
	keelsontest.Eventually(t, "the refusal", func() bool { return strings.Contains(log.String(), "did you mean") })
	write(base + "log: {level: debug}\ngrpc: {max_streams: 5}\n")
	keelsontest.Eventually(t, "the refusal of what needs a restart", func() bool { return strings.Contains(log.String(), "needs a restart") })
	if !s.Logger().Enabled(t.Context(), -4) {
		t.Error("a refused reload changed the level")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestTheOpsListenerAnswersProbesAndScrapers(t *testing.T) {
	ops, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ops.Addr().String()
	_ = ops.Close()
	var cfg keelson.Config
	cfg.Ops.Address = address
	cfg.Debug.Address = "off"
	grpcAddress, _, ended, cancel := runTCP(t, cfg, io.Discard)
	for path, want := range map[string]string{"/livez": "", "/readyz": `"ready"`, "/metrics": "keelson_build_info"} {
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %v, want %q in\n%.200s", path, resp.StatusCode, err, want, body)
		}
	}
	for _, a := range []string{address, grpcAddress} {
		conn, err := grpc.NewClient(a, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"", "grpc.testing.TestService"} {
			got, err := healthpb.NewHealthClient(conn).Check(bounded(t), &healthpb.HealthCheckRequest{Service: name})
			if err != nil || got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
				t.Errorf("health of %q at %s: %v, %v", name, a, got, err)
			}
		}
		_ = conn.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestMutualTLS(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	ca.issue(t, dir, "server")
	ca.issue(t, dir, "client")
	stranger := newAuthority(t, dir, "stranger")
	stranger.issue(t, dir, "intruder")
	var cfg keelson.Config
	cfg.Ops.Address, cfg.Debug.Address, cfg.Log.Format = "off", "off", "json"
	cfg.GRPC.TLS = keelson.ServerTLS{CertFile: pemFile(dir, "server"), KeyFile: keyFile(dir, "server"), ClientCAFile: pemFile(dir, "ca")}
	address, _, ended, cancel := runTCP(t, cfg, io.Discard)
	for _, tc := range []struct {
		name string
		tls  keelson.ClientTLS
		ok   bool
	}{
		{"right certificate", keelson.ClientTLS{CAFile: pemFile(dir, "ca"), CertFile: pemFile(dir, "client"), KeyFile: keyFile(dir, "client"), ServerName: "localhost"}, true},
		{"no certificate", keelson.ClientTLS{CAFile: pemFile(dir, "ca"), ServerName: "localhost"}, false},
		{"a stranger's certificate", keelson.ClientTLS{CAFile: pemFile(dir, "ca"), CertFile: pemFile(dir, "intruder"), KeyFile: keyFile(dir, "intruder"), ServerName: "localhost"}, false},
		{"the wrong authority", keelson.ClientTLS{CAFile: pemFile(dir, "stranger"), CertFile: pemFile(dir, "client"), KeyFile: keyFile(dir, "client"), ServerName: "localhost"}, false},
		{"plaintext", keelson.ClientTLS{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, err := keelson.NewClient("caller", keelson.Config{Client: keelson.ClientConfig{TLS: tc.tls}}, keelson.WithLogOutput(io.Discard))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			conn, err := client.Dial(address)
			if err != nil {
				t.Fatal(err)
			}
			ctx, end := context.WithTimeout(t.Context(), time.Minute)
			defer end()
			// Fail fast: a refused handshake is the answer.
			if err := invoke(ctx, conn, unaryCall, grpc.WaitForReady(false)); (err == nil) != tc.ok {
				t.Errorf("the call ended with %v", err)
			}
		})
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTLSFilesThatDoNotFitAreNamed(t *testing.T) {
	var cfg keelson.Config
	cfg.GRPC.TLS.CertFile = "nowhere.pem"
	s, err := keelson.New("shop", cfg, keelson.WithLogOutput(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(bounded(t)); err == nil || !strings.Contains(err.Error(), "cert_file and key_file belong together") {
		t.Errorf("Run: %v", err)
	}
}

func TestAFailedStartEndsWithItsError(t *testing.T) {
	var cfg keelson.Config
	cfg.GRPC.Address, cfg.Ops.Address, cfg.Debug.Address = "127.0.0.1:0", "off", "off"
	s, err := keelson.New("shop", cfg, keelson.WithLogOutput(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the schema is newer than this program")
	stopped := false
	s.OnStart("migrate", func(context.Context) error { return broken })
	s.OnStop("migrate", func(context.Context) error { stopped = true; return nil })
	if err := s.Run(bounded(t)); !errors.Is(err, broken) {
		t.Errorf("Run: %v", err)
	}
	if stopped {
		t.Error("what did not start was stopped")
	}
	if err := s.Run(bounded(t)); err == nil {
		t.Error("a service ran twice")
	}
}

// authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func pemFile(dir, name string) string { return filepath.Join(dir, name+".pem") }
func keyFile(dir, name string) string { return filepath.Join(dir, name+".key") }

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = sign(t, dir, name, template, nil)
	return a
}

func (a *authority) issue(t *testing.T, dir, name string) {
	t.Helper()
	sign(t, dir, name, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
}

func sign(t *testing.T, dir, name string, template *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by = &authority{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{pemFile(dir, name): {Type: "CERTIFICATE", Bytes: der}, keyFile(dir, name): {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}
