package keelson

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"time"

	"crypto/tls"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/metrics"
)

// httpServer is a listener for people and probes. A nil one does nothing.
type httpServer struct {
	http     *http.Server
	listener net.Listener
	served   sync.WaitGroup
}

// startHTTP serves a handler over HTTP/1.1 and HTTP/2, the latter also in
// plaintext, which is what gRPC probes speak.
func startHTTP(ctx context.Context, key, address string, files ServerTLS, h http.Handler, log *slog.Logger) (*httpServer, error) {
	if address == off {
		return nil, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s.address: %w; choose another port, 0 to let the system choose, or off", key, err)
	}
	if files.enabled() {
		cfg, err := files.Load(key + ".tls")
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		cfg.NextProtos = []string{"h2", "http/1.1"}
		l = tls.NewListener(l, cfg)
	}
	s := &httpServer{listener: l, http: &http.Server{
		Handler:           h,
		Protocols:         new(http.Protocols),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
	s.served.Go(func() { _ = s.http.Serve(l) }) // it ends with ErrServerClosed
	return s, nil
}

// address is where it listens, or "".
func (s *httpServer) address() string {
	if s == nil {
		return ""
	}
	a, err := advertised(s.listener.Addr())
	if err != nil {
		return s.listener.Addr().String()
	}
	return a
}

func (s *httpServer) stop(ctx context.Context) error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close() // what did not end by itself is a prober's
	}
	s.served.Wait()
	return nil
}

// startOps serves gRPC health, /livez, /readyz and /metrics.
func (s *Service) startOps(ctx context.Context) (err error) {
	probes := grpc.NewServer(grpc.MaxRecvMsgSize(4 << 10))
	s.health.Register(probes)
	mux := http.NewServeMux()
	mux.Handle("GET /livez", s.health.Livez())
	mux.Handle("GET /readyz", s.health.Readyz())
	mux.Handle("GET /metrics", metrics.Handler(s.tel.registry))
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			probes.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
	s.live.ops, err = startHTTP(ctx, "ops", s.cfg.Ops.Address, s.cfg.Ops.TLS, h, s.log)
	return err
}

// startDebug serves pprof, the pages of recent and open calls, the effective
// policy, the state of the targets, and the log level.
func (s *Service) startDebug(ctx context.Context) (err error) {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("GET /debug/calls", s.tel.zpages.Handler())
	mux.HandleFunc("GET /debug/keelson/policy", s.showPolicy)
	mux.HandleFunc("GET /debug/keelson/targets", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.client.Targets()) })
	mux.HandleFunc("GET /debug/keelson/log-level", func(w http.ResponseWriter, _ *http.Request) { s.showLevel(w) })
	mux.HandleFunc("PUT /debug/keelson/log-level", s.setLevel)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "/debug/pprof/  profiles\n/debug/calls  recent, slow and open calls\n/debug/keelson/policy  what holds for each method\n/debug/keelson/targets  the instances that this client knows, and what it makes of them\n/debug/keelson/log-level  GET it, or PUT debug, info, warn or error\n")
	})
	s.live.debug, err = startHTTP(ctx, "debug", s.cfg.Debug.Address, s.cfg.Debug.TLS, localOnly(mux), s.log)
	return err
}

// localOnly refuses requests under a host name that is not this machine's, so
// that a page in a browser cannot reach the listener by DNS rebinding.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !IsLoopback(r.Host) {
			http.Error(w, "the debug listener answers to loopback names only, such as 127.0.0.1", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the reader went away
}

func (s *Service) showLevel(w http.ResponseWriter) {
	fmt.Fprintln(w, strings.ToLower(s.tel.log.Level().Level().String()))
}

func (s *Service) setLevel(w http.ResponseWriter, r *http.Request) {
	text := make([]byte, 16)
	n, _ := r.Body.Read(text) // what is not a level is refused below
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.TrimSpace(string(text[:n])))); err != nil {
		http.Error(w, "PUT debug, info, warn or error", http.StatusBadRequest)
		return
	}
	s.tel.log.Level().Set(level)
	s.log.Info("log level changed by the debug listener", "level", level.String())
	s.showLevel(w)
}

func (s *Service) showPolicy(w http.ResponseWriter, _ *http.Request) {
	shown := []policy.Description{}
	for _, m := range s.table.Methods() {
		if s.serves(m.Service) {
			shown = append(shown, m.Describe())
		}
	}
	writeJSON(w, shown)
}
