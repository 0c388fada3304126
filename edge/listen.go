package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/keelson-dev/keelson"
)

const (
	// goAwayPatience is how long a shutdown waits for connections of HTTP/2
	// without requests to end by themselves, once they heard that the server
	// leaves: net/http gives them a second. Those of HTTP/1.1 have idleGrace.
	goAwayPatience = 2 * time.Second
	// shutPoll is how often a shutdown looks whether it may go on.
	shutPoll = 10 * time.Millisecond
)

// Listen implements [keelson.Front]: it opens the listener and accepts nothing yet.
func (e *Edge) Listen(ctx context.Context) error {
	if e.cfg.Address == off {
		return nil
	}
	var config *tls.Config
	if e.cfg.TLS != (keelson.ServerTLS{}) {
		var err error
		if config, err = loadTLS(e.cfg.TLS); err != nil {
			return err
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", e.cfg.Address)
	if err != nil {
		return fmt.Errorf("edge.address: %w; choose another port, 0 to let the system choose, or off", err)
	}
	e.listening.Lock()
	defer e.listening.Unlock()
	e.listener = newListener(l, e)
	e.server = e.newServer(config)
	e.log.Info("the edge listens", "address", l.Addr().String(), "tls", config != nil, "h2c", e.cfg.H2C)
	return nil
}

// newServer makes the HTTP server.
func (e *Edge) newServer(config *tls.Config) *http.Server {
	s := &http.Server{
		Handler:           e,
		TLSConfig:         config,
		Protocols:         new(http.Protocols),
		ReadHeaderTimeout: e.cfg.HeaderTimeout,
		IdleTimeout:       e.cfg.IdleTimeout,
		MaxHeaderBytes:    int(e.cfg.MaxHeader),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: e.cfg.MaxStreams, SendPingTimeout: e.cfg.IdleTimeout / 4, WriteByteTimeout: e.cfg.WriteTimeout},
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
		ConnState:         connState,
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(config != nil)
	s.Protocols.SetUnencryptedHTTP2(e.cfg.H2C)
	return s
}

// connState notes which connections wait for a request.
func connState(c net.Conn, state http.ConnState) {
	if state != http.StateIdle && state != http.StateActive {
		return
	}
	http2 := false
	if t, ok := c.(*tls.Conn); ok {
		http2 = t.ConnectionState().NegotiatedProtocol == "h2"
		c = t.NetConn()
	}
	known, ok := c.(*conn)
	switch {
	case !ok:
	case state == http.StateIdle:
		known.setIdle(http2)
	default:
		known.setBusy()
	}
}

// loadTLS reads the files of the listener, for browsers and other clients of the
// public: those of TLS 1.2 and HTTP/1.1, too, and with session tickets, unless they
// show certificates.
func loadTLS(files keelson.ServerTLS) (*tls.Config, error) {
	cfg, err := files.Load("edge.tls")
	if err != nil {
		return nil, err
	}
	cfg.MinVersion = tls.VersionTLS12
	cfg.NextProtos = []string{"h2", "http/1.1"}
	cfg.SessionTicketsDisabled = files.ClientCAFile != ""
	return cfg, nil
}

// Serve implements [keelson.Front]: it accepts until Shutdown or Close.
func (e *Edge) Serve() error {
	e.refresh() // before the first request has to wait for it
	s, l := e.serving()
	if s == nil {
		<-e.closed
		return nil
	}
	var err error
	if s.TLSConfig != nil {
		err = s.ServeTLS(l, "", "")
	} else {
		err = s.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) || e.shutting.Load() && errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve at the edge: %w", err)
}

func (e *Edge) serving() (*http.Server, *listener) {
	e.listening.Lock()
	defer e.listening.Unlock()
	return e.server, e.listener
}

// Leave implements [keelson.Front]: answers from now on make their clients connect
// anew (Connection: close; GOAWAY in HTTP/2), which then reach another instance.
func (e *Edge) Leave() {
	e.leftAt.CompareAndSwap(0, time.Now().UnixNano())
	e.leaving.Store(true)
}

// left is how long ago the edge said that it leaves.
func (e *Edge) left() time.Duration { return time.Since(time.Unix(0, e.leftAt.Load())) }

// Shutdown implements [keelson.Front]: it accepts nothing more, waits for the
// requests in flight and closes the connections, at most until the context ends.
// Clients of HTTP/2 hear which of their requests were not taken; a connection of
// HTTP/1.1 is closed only while no request has begun on it.
func (e *Edge) Shutdown(ctx context.Context) error {
	e.Leave()
	s, l := e.serving()
	if s == nil {
		defer e.close()
		return e.flight.wait(ctx)
	}
	e.shutting.Store(true)
	l.stop()
	e.lastRequests(ctx, l)
	return e.shutServer(ctx, s, l)
}

// lastRequests waits until no request can come over HTTP/1.1 any more: net/http
// drops those that come when it shuts down.
func (e *Edge) lastRequests(ctx context.Context, l *listener) {
	select {
	case <-l.deaf:
	case <-ctx.Done():
		return
	}
	patience := time.NewTimer(goAwayPatience)
	defer patience.Stop()
	tick := time.NewTicker(shutPoll)
	defer tick.Stop()
	for quiet := 0; quiet < 2; { // once more: the server decides just after it has told
		if _, waiting := l.endIdle(); waiting > 0 {
			quiet = 0
		} else {
			quiet++
		}
		select {
		case <-tick.C:
		case <-patience.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// shutServer tells clients of HTTP/2, waits for requests in flight and closes the
// connections.
func (e *Edge) shutServer(ctx context.Context, s *http.Server, l *listener) error {
	told := make(chan error, 1)
	go func() { told <- s.Shutdown(ctx) }()
	patience := time.NewTimer(goAwayPatience)
	defer patience.Stop()
	tick := time.NewTicker(shutPoll)
	defer tick.Stop()
	for {
		if open, _ := l.endIdle(); open == 0 {
			l.let()
		}
		select {
		case <-tick.C:
		case <-patience.C:
			l.let()
		case err := <-told:
			if err != nil {
				return fmt.Errorf("wait for requests in flight: %w", err)
			}
			return e.flight.wait(ctx)
		case <-ctx.Done():
			l.let()
			return errors.Join(<-told)
		}
	}
}

// Close implements [keelson.Front]: it ends at once what is left, and waits for it.
func (e *Edge) Close() error {
	e.Leave()
	e.close()
	s, l := e.serving()
	var err error
	if s != nil {
		e.shutting.Store(true)
		l.let()
		err = errors.Join(s.Close(), ignoreClosed(l.Close()))
	}
	if s != nil { // without a listener, requests are ended by whoever has one
		_ = e.flight.wait(context.Background()) // the context does not end
	}
	e.ending.Lock()
	e.ended = true
	e.ending.Unlock()
	e.work.Wait()
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Address implements [keelson.Front]: the host:port it listens on; empty before
// Listen, and when there is no listener.
func (e *Edge) Address() string {
	if _, l := e.serving(); l != nil {
		return l.Addr().String()
	}
	return ""
}
