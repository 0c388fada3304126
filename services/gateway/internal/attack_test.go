package internal_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/services/gateway/internal"
)

// cutting is a connection that breaks after so many bytes of a backend.
type cutting struct {
	net.Conn
	left *atomic.Int64
}

func (c *cutting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.left.Add(-int64(n)) < 0 {
		_ = c.Close()
		return 0, errors.New("read tcp 10.1.2.3: connection reset by peer")
	}
	return n, err
}

func TestABackendThatDiesDuringACall(t *testing.T) {
	for name, after := range map[string]int64{"before it answers": 0, "in the middle of a message": 200 << 10} {
		t.Run(name, func(t *testing.T) { dies(t, after) })
	}
}

// dies calls a backend that dies after so many bytes of its answer.
func dies(t *testing.T, after int64) {
	const much = 1 << 40
	var left atomic.Int64
	left.Store(much)
	f := newFake(t, func(_ string, ss grpc.ServerStream) error {
		if _, err := receive(ss); err != nil {
			return err
		}
		left.Store(after) // on the way to the gateway, from now on
		return send(ss, strings.Repeat("x", 2<<20))
	})
	g := described1(t, f, func(s *setup) {
		s.dial = []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := f.dial(ctx, address)
			if err != nil {
				return nil, err
			}
			left.Store(much)
			return &cutting{conn, &left}, nil
		})}
	})
	for _, method := range []string{unaryMethod, watchMethod, bidiMethod} {
		s := g.stream(t, soon(t), method)
		s.send(t, "x")
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		err := s.end()
		e := wantError(t, err, codes.Unavailable, errs.ReasonConnectionLost)
		if e.Domain() != internal.Domain || strings.Contains(err.Error(), "10.1.2.3") || strings.Contains(err.Error(), "bufconn") {
			t.Errorf("%s: heard %v", method, err)
		}
	}
}

func TestAClientThatEndsItsSendingLate(t *testing.T) {
	f := newFake(t, echo)
	g := described1(t, f)
	for _, method := range []string{unaryMethod, readMethod, watchMethod} {
		f.calls.Store(0)
		s := g.stream(t, soon(t), method)
		s.send(t, "text")
		if _, err := g.call(soon(t), unaryMethod, "another"); err != nil { // meanwhile
			t.Fatal(err)
		}
		if n := f.calls.Load(); n != 1 {
			t.Errorf("%s: the backend was called %d times before the client had said all", method, n)
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		s.want(t, "TEXT")
		if err := s.end(); !errors.Is(err, io.EOF) {
			t.Errorf("%s ended with %v", method, err)
		}
	}
}

// mute takes questions and never answers.
type mute struct {
	reflectionv1.UnimplementedServerReflectionServer
	asked chan struct{}
}

func (m *mute) ServerReflectionInfo(ss reflectionv1.ServerReflection_ServerReflectionInfoServer) error {
	select {
	case m.asked <- struct{}{}:
	default:
	}
	<-ss.Context().Done()
	return ss.Context().Err()
}

func TestABackendThatNeverAnswersReflectionIsServedAllTheSame(t *testing.T) {
	m := &mute{asked: make(chan struct{}, 1)}
	f := newFake(t, echo, func(s *grpc.Server) { reflectionv1.RegisterServerReflectionServer(s, m) })
	g := newGateway(t, f)
	<-m.asked
	for range 20 {
		if got, err := g.call(soon(t), unaryMethod, "x"); err != nil || got != "X" {
			t.Errorf("answered %q, %v", got, err)
		}
	}
	if err := g.drain(); err != nil { // waits for no answer
		t.Error(err)
	}
}

// TestAPageInPlaceOfGRPCIsNotPassedOn has a proxy stand before the backend, whose pages
// tell of the inside.
func TestAPageInPlaceOfGRPCIsNotPassedOn(t *testing.T) {
	for code, want := range map[int]codes.Code{
		http.StatusOK: codes.Unknown, http.StatusBadRequest: codes.Internal, http.StatusForbidden: codes.PermissionDenied,
		http.StatusNotFound: codes.Unimplemented, http.StatusBadGateway: codes.Unavailable,
	} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/grpc.") { // no health, so that it counts as ready
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Grpc-Status", "12")
				return
			}
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "upstream 10.1.2.3 is away")
		}))
		server.Config.Protocols = &http.Protocols{}
		server.Config.Protocols.SetUnencryptedHTTP2(true)
		server.Start()
		g := described1(t, newFake(t, echo), func(s *setup) {
			s.dial = []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
			})}
		})
		for _, method := range []string{unaryMethod, readMethod, watchMethod, bidiMethod} {
			s := g.stream(t, soon(t), method)
			s.send(t, "x")
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			err := s.end()
			if e := wantError(t, err, want, internal.ReasonNotGRPC); e.Domain() != internal.Domain || strings.Contains(err.Error(), "10.1.2.3") {
				t.Errorf("%s of a page with %d: heard %v", method, code, err)
			}
		}
		if err := g.drain(); err != nil {
			t.Error(err)
		}
		server.Close()
	}
}

func TestMetadataThatIsTooMuchFailsOneCallOnly(t *testing.T) {
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		huge := strings.Repeat("x", 1<<20)
		g, f := start(echo)
		for _, method := range []string{unaryMethod, readMethod, watchMethod, bidiMethod} {
			f.answer(echo)
			ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(soon(t), "x-huge", huge), 20*time.Second)
			if s, err := g.NewStream(ctx, bidi(), method); err == nil {
				if err := (&texts{s}).end(); err == nil || errors.Is(err, io.EOF) {
					t.Errorf("%s with huge metadata ended with %v", method, err)
				}
			}
			cancel()
			for where, set := range map[string]func(grpc.ServerStream) error{
				"header":  func(ss grpc.ServerStream) error { return ss.SetHeader(metadata.Pairs("x-huge", huge)) },
				"trailer": func(ss grpc.ServerStream) error { ss.SetTrailer(metadata.Pairs("x-huge", huge)); return nil },
			} {
				f.answer(func(m string, ss grpc.ServerStream) error { return errors.Join(set(ss), echo(m, ss)) })
				s := g.stream(t, soon(t), method)
				s.send(t, "x")
				if err := s.CloseSend(); err != nil {
					t.Fatal(err)
				}
				err := s.end()
				if where == "trailer" {
					err = s.end()
				}
				if err == nil || errors.Is(err, io.EOF) || errCode(err) == codes.DeadlineExceeded {
					t.Errorf("%s with a huge %s ended with %v", method, where, err)
				}
			}
			f.answer(echo)
			if got, err := g.call(soon(t), unaryMethod, "x"); err != nil || got != "X" {
				t.Errorf("after %s: %q, %v", method, got, err)
			}
		}
	})
}

func bidi() *grpc.StreamDesc { return &grpc.StreamDesc{ClientStreams: true, ServerStreams: true} }
