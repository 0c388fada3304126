package internal_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/services/gateway/internal"
)

// said is an answer by HTTP.
type said struct {
	code   int
	header http.Header
	body   string
	reason string // of a google.rpc.Status
}

// web is the edge of a gateway, and a client of it.
type web struct {
	*http.Client
	at string
}

// newWeb forwards the user service to a backend, by REST too.
func newWeb(t *testing.T, f *fake, change ...func(*setup)) *web {
	t.Helper()
	var log lines
	newGateway(t, f, append(change, func(s *setup) {
		s.config.Edge.Address, s.log = "127.0.0.1:0", &log
		if s.config.Descriptors == nil {
			s.config.Descriptors = []string{filepath.Join("..", "descriptors.binpb")}
		}
		s.config.Services = []internal.ServiceConfig{{Service: "user.v1.UserService", Target: "passthrough:///backend"}}
	})...)
	address := regexp.MustCompile(`"edge_address":"([^"]+)"`)
	keelsontest.Eventually(t, "the edge to listen", func() bool { return address.MatchString(log.text()) })
	w := &web{Client: &http.Client{Transport: &http.Transport{}}, at: "http://" + address.FindStringSubmatch(log.text())[1]}
	t.Cleanup(w.CloseIdleConnections)
	return w
}

// do makes a request.
func (w *web) do(ctx context.Context, method, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.at+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return w.Client.Do(req)
}

// ask makes a request that is answered.
func (w *web) ask(t *testing.T, method, path, body string) (s said) {
	t.Helper()
	resp, err := w.do(soon(t), method, path, body)
	if err != nil {
		t.Error(err)
		return s
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	s = said{code: resp.StatusCode, header: resp.Header, body: string(raw)}
	var e struct{ Details []struct{ Reason string } }
	if json.Unmarshal(raw, &e) == nil {
		for _, d := range e.Details {
			s.reason = cmp.Or(s.reason, d.Reason)
		}
	}
	return s
}

func TestWhatTheGatewaySaysHasItsHeadersOnHTTP(t *testing.T) {
	broken := func(string, grpc.ServerStream) error { return status.Error(codes.Internal, "broken") }
	away := func(f *fake) { f.server.Stop() }
	for name, tc := range map[string]struct {
		answer handler
		before func(*fake)
		change func(*setup)
		code   int
		reason string
	}{
		"a circuit is open":    {broken, func(*fake) {}, func(*setup) {}, http.StatusServiceUnavailable, errs.ReasonCircuitOpen},
		"no instance is ready": {echo, away, func(s *setup) { s.config.ReadyTimeout = time.Millisecond }, http.StatusServiceUnavailable, errs.ReasonNoReadyInstance},
		"too many calls":       {echo, func(*fake) {}, limits(1), http.StatusTooManyRequests, errs.ReasonRateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, tc.answer)
			tc.before(f)
			w := newWeb(t, f, tc.change)
			for _, path := range []string{"/v1/users/ada-lovelace", "/v1/users:watch"} {
				var got said
				for range 2000 {
					if got = w.ask(t, http.MethodGet, path, ""); got.reason == tc.reason || path == "/v1/users:watch" {
						break
					}
				}
				if tc.reason == errs.ReasonCircuitOpen && path == "/v1/users:watch" {
					continue // each method has a breaker of its own
				}
				if got.code != tc.code || got.reason != tc.reason || got.header.Get("Retry-After") == "" || got.header.Get("X-Correlation-Id") == "" || got.header.Get("Content-Type") != "application/json" {
					t.Errorf("%s: %d %v\n%s", path, got.code, got.header, got.body)
				}
				if limited := got.header.Get("Ratelimit") != "" && got.header.Get("Ratelimit-Policy") != ""; limited != (tc.code == http.StatusTooManyRequests) {
					t.Errorf("%s: the headers are %v", path, got.header)
				}
			}
		})
	}
}

func TestRequestsOfHTTPAreRepeatedOnlyWhereTheyMayBe(t *testing.T) {
	var failures atomic.Int64
	f := newFake(t, func(_ string, ss grpc.ServerStream) error {
		if _, err := receive(ss); err != nil {
			return err
		}
		if failures.Add(-1) >= 0 {
			return status.Error(codes.Unavailable, "try again")
		}
		return send(ss, "users/ada-lovelace")
	})
	w := newWeb(t, f)
	for _, tc := range []struct {
		method, path, body string
		code, calls        int
	}{
		{http.MethodGet, "/v1/users/ada-lovelace", "", http.StatusOK, 2},
		{http.MethodPost, "/v1/users", `{"email":"a@example.com"}`, http.StatusServiceUnavailable, 1},
		{http.MethodPost, "/v1/users?requestId=6f1c7f0e-2f0b-4c0e-8f43-4b7d0c0e5a01", `{"email":"a@example.com"}`, http.StatusServiceUnavailable, 1},
		{http.MethodDelete, "/v1/users/ada-lovelace", "", http.StatusServiceUnavailable, 1},
		{http.MethodPatch, "/v1/users/ada-lovelace", `{"email":"a@example.com"}`, http.StatusServiceUnavailable, 1},
		{http.MethodPost, "/user.v1.UserService/GetUser", `{"name":"users/ada-lovelace"}`, http.StatusOK, 2},
		{http.MethodPost, "/user.v1.UserService/CreateUser", `{"user":{"email":"a@example.com"}}`, http.StatusServiceUnavailable, 1},
	} {
		failures.Store(1)
		f.calls.Store(0)
		if got := w.ask(t, tc.method, tc.path, tc.body); got.code != tc.code || int(f.calls.Load()) != tc.calls {
			t.Errorf("%s %s: answered %d after %d calls of the backend; want %d after %d\n%s", tc.method, tc.path, got.code, f.calls.Load(), tc.code, tc.calls, got.body)
		}
	}
}

func TestStatusesOfBackendsAreNever500ByThemselves(t *testing.T) {
	for _, detail := range []*anypb.Any{
		{}, {TypeUrl: "type.googleapis.com/nobody.knows.This", Value: []byte{0xff, 0x00}}, {TypeUrl: "no slash", Value: []byte("x")},
		{TypeUrl: "type.googleapis.com/google.rpc.RetryInfo", Value: []byte{0xff}}, {TypeUrl: "type.googleapis.com/google.rpc.ErrorInfo", Value: bytes.Repeat([]byte{0x0a}, 50)},
		{TypeUrl: "type.googleapis.com/google.protobuf.Any", Value: []byte{0x0a, 0x01, '/'}}, {TypeUrl: "\xff\xfe/x.Y"},
	} {
		f := newFake(t, func(string, grpc.ServerStream) error {
			return status.FromProto(&spb.Status{Code: int32(codes.NotFound), Message: "nobody", Details: []*anypb.Any{detail}}).Err()
		})
		w := newWeb(t, f)
		for method, path := range map[string]string{http.MethodGet: "/v1/users/ada-lovelace", http.MethodPost: "/user.v1.UserService/GetUser"} {
			body := ""
			if method == http.MethodPost {
				body = `{}`
			}
			if got := w.ask(t, method, path, body); got.code != http.StatusNotFound || !strings.Contains(got.body, "nobody") || !json.Valid([]byte(got.body)) {
				t.Errorf("%s with %v: %d %s", path, detail, got.code, got.body)
			}
		}
	}
}

// TestABackendThatDiesDuringARequest tells the client of HTTP that nobody knows what
// became of it, and nothing of the inside.
func TestABackendThatDiesDuringARequest(t *testing.T) {
	began := make(chan struct{}, 1)
	f := newFake(t, func(_ string, ss grpc.ServerStream) error {
		if _, err := receive(ss); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		began <- struct{}{}
		<-ss.Context().Done()
		return ss.Context().Err()
	})
	w := newWeb(t, f)
	answer := make(chan said, 1)
	go func() { answer <- w.ask(t, http.MethodPost, "/v1/users", `{"email":"a@example.com"}`) }()
	<-began
	f.server.Stop()
	if got := <-answer; got.code != http.StatusServiceUnavailable || got.reason != errs.ReasonConnectionLost || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "bufconn") {
		t.Errorf("%d %v\n%s", got.code, got.header, got.body)
	}
	if f.calls.Load() != 1 {
		t.Errorf("it was sent %d times", f.calls.Load())
	}
}

func TestAClientOfHTTPThatGoesCancelsTheBackend(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error)
	w := newWeb(t, newFake(t, func(_ string, ss grpc.ServerStream) error {
		if _, err := receive(ss); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		began <- struct{}{}
		<-ss.Context().Done()
		ended <- ss.Context().Err()
		return ss.Context().Err()
	}))
	for _, tc := range []struct{ method, path, body string }{
		{http.MethodGet, "/v1/users/ada-lovelace", ""},
		{http.MethodGet, "/v1/users:watch", ""},
		{http.MethodPost, "/v1/users", `{"email":"a@example.com"}`},
		{http.MethodPost, "/user.v1.UserService/CreateUser", `{"user":{"email":"a@example.com"}}`},
	} {
		ctx, cancel := context.WithCancel(soon(t))
		done := make(chan error, 1)
		go func() {
			resp, err := w.do(ctx, tc.method, tc.path, tc.body)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			done <- err
		}()
		select {
		case <-began:
		case err := <-done:
			cancel()
			t.Fatalf("%s %s: it did not reach the backend: %v", tc.method, tc.path, err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s %s: the backend's context ended with %v", tc.method, tc.path, err)
		}
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s %s: the client heard %v", tc.method, tc.path, err)
		}
	}
}
