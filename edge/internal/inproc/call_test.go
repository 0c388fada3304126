package inproc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keelson-dev/keelson/edge/internal/inproc"
)

// call returns a call to a server with one handler.
func call(t testing.TB, handler func(ss grpc.ServerStream) error) *inproc.Call {
	t.Helper()
	g := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error { return handler(ss) }))
	t.Cleanup(g.Stop)
	return &inproc.Call{Handler: g, Method: "/p.S/M", RemoteAddr: "192.0.2.7:4711", Host: "example.com"}
}

func packed(t testing.TB, text string) []byte {
	t.Helper()
	b, err := proto.Marshal(wrapperspb.String(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unpacked(t testing.TB, b []byte) string {
	t.Helper()
	m := &wrapperspb.StringValue{}
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	return m.GetValue()
}

// echo answers with the request, n times.
func echo(n int) func(ss grpc.ServerStream) error {
	return func(ss grpc.ServerStream) error {
		m := &wrapperspb.StringValue{}
		if err := ss.RecvMsg(m); err != nil {
			return err
		}
		for range n {
			if err := ss.SendMsg(m); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestUnaryCarriesMessagesOfAnySize(t *testing.T) {
	c := call(t, echo(1))
	for _, size := range []int{0, 1, 5, 16379, 16384, 1 << 20} {
		want := strings.Repeat("x", size)
		r := c.Unary(t.Context(), packed(t, want))
		if r.Status.Code() != codes.OK || unpacked(t, r.Message) != want {
			t.Errorf("%d bytes: %v, %d bytes back", size, r.Status, len(r.Message))
		}
	}
}

func TestUnaryCarriesMetadataAndPeer(t *testing.T) {
	c := call(t, func(ss grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(ss.Context())
		p, _ := peer.FromContext(ss.Context())
		_ = ss.SetHeader(metadata.Pairs("h", "1", "h", "2", "b-bin", "\x00\xff"))
		ss.SetTrailer(metadata.Pairs("t", "3"))
		return ss.SendMsg(wrapperspb.String(strings.Join(append(md.Get("k"), md.Get(":authority")[0], fmt.Sprintf("%x", md.Get("raw-bin")[0]), p.Addr.String()), "|")))
	})
	c.Header = http.Header{"K": {"a", "b"}, "Raw-Bin": {"AP8"}, "Content-Type": {"text/plain"}, "Grpc-Timeout": {"garbage"}}
	r := c.Unary(t.Context(), nil)
	if got := unpacked(t, r.Message); got != "a|b|example.com|00ff|192.0.2.7:4711" {
		t.Errorf("the server saw %q", got)
	}
	if got := strings.Join(r.Header["H"], ",") + r.Header.Get("B-Bin") + r.Trailer.Get("T"); got != "1,2AP83" || len(r.Header) != 2 || len(r.Trailer) != 1 {
		t.Errorf("header %v, trailer %v", r.Header, r.Trailer)
	}
	if c.Header.Get("Content-Type") != "text/plain" {
		t.Error("the caller's header was changed")
	}
}

func TestStatusComesWhole(t *testing.T) {
	want, _ := status.New(codes.NotFound, "nothing, 100 % ünique\n").WithDetails(&errdetails.ErrorInfo{Reason: "R"}, &errdetails.RetryInfo{})
	for name, c := range map[string]struct {
		handler func(ss grpc.ServerStream) error
		want    *status.Status
	}{
		"details":         {func(grpc.ServerStream) error { return want.Err() }, want},
		"no details":      {func(grpc.ServerStream) error { return status.Error(codes.Aborted, "a") }, status.New(codes.Aborted, "a")},
		"no message":      {func(grpc.ServerStream) error { return status.Error(codes.Aborted, "") }, status.New(codes.Aborted, "")},
		"after a message": {func(ss grpc.ServerStream) error { return errors.Join(ss.SendMsg(wrapperspb.String("x")), want.Err()) }, nil},
		"no answer":       {func(grpc.ServerStream) error { return nil }, status.New(codes.Internal, "the server answered a unary call with 0 messages, it must be one")},
		"two answers":     {echo(2), status.New(codes.Internal, "the server answered a unary call with 2 messages, it must be one")},
	} {
		t.Run(name, func(t *testing.T) {
			r := call(t, c.handler).Unary(t.Context(), nil)
			if c.want == nil {
				c.want = status.New(r.Status.Code(), r.Status.Message())
				if r.Status.Code() == codes.OK || r.Message != nil {
					t.Errorf("%v with %q", r.Status, r.Message)
				}
				return
			}
			if !proto.Equal(r.Status.Proto(), c.want.Proto()) {
				t.Errorf("%v, want %v", r.Status.Proto(), c.want.Proto())
			}
		})
	}
}

func TestWhatIsNotGRPCHasAStatus(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    codes.Code
	}{
		"not found": {http.NotFound, codes.Unimplemented},
		"stopped": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "the service does not run", http.StatusServiceUnavailable)
		}, codes.Unavailable},
		"nothing":      {func(http.ResponseWriter, *http.Request) {}, codes.Unavailable},
		"unauthorized": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, codes.Unauthenticated},
		"forbidden":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, codes.PermissionDenied},
		"bad":          {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }, codes.Internal},
		"teapot":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) }, codes.Unknown},
		"panics":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, codes.Internal},
		"no number":    {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Grpc-Status", "x") }, codes.Unknown},
		"half a message": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte{0, 0, 0, 0, 9, 1})
			w.Header().Set("Grpc-Status", "0")
		}, codes.Internal},
		"half a prefix": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte{0, 0})
			w.Header().Set("Grpc-Status", "0")
		}, codes.Internal},
		"compressed": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte{1, 0, 0, 0, 0})
			w.Header().Set("Grpc-Status", "0")
		}, codes.Internal},
		"broken details": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Grpc-Status", "5")
			w.Header().Set("Grpc-Status-Details-Bin", "!!")
		}, codes.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			called := &inproc.Call{Handler: c.handler, Method: "/p.S/M"}
			r := called.Unary(t.Context(), nil)
			s := called.Open(t.Context())
			defer s.Close()
			for {
				if _, err := s.Recv(); err != nil {
					break
				}
			}
			if r.Status.Code() != s.Status().Code() {
				t.Errorf("unary %v, stream %v", r.Status, s.Status())
			}
			if r.Status.Code() != c.want {
				t.Errorf("%v, want %v", r.Status, c.want)
			}
			_ = s.Header() // does not wait for ever
		})
	}
}

func TestTimeoutIsTheServers(t *testing.T) {
	for timeout, want := range map[time.Duration]string{
		0: "", 1: "1n", 99_999_999: "99999999n", 100_000_001: "100001u", 100 * time.Second: "100000m",
		100_000_001 * time.Millisecond: "100001S", 100_000_001 * time.Second: "1666667M", 2_000_000 * time.Hour: "2000000H",
	} {
		var got string
		h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Grpc-Timeout") })
		(&inproc.Call{Handler: h, Timeout: timeout}).Unary(t.Context(), nil)
		if got != want {
			t.Errorf("%s is sent as %q, want %q", timeout, got, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		c := call(t, func(ss grpc.ServerStream) error {
			<-ss.Context().Done()
			return status.FromContextError(ss.Context().Err()).Err()
		})
		c.Timeout = time.Second
		began := time.Now()
		r := c.Unary(t.Context(), nil)
		if r.Status.Code() != codes.DeadlineExceeded || time.Since(began) != time.Second {
			t.Errorf("%v after %s", r.Status, time.Since(began))
		}
	})
}

func TestCallerWhoGoesCancels(t *testing.T) {
	for name, ctx := range map[string]func() (context.Context, context.CancelFunc){
		"CANCELED": func() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) },
		"DEADLINE_EXCEEDED": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), time.Second)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			gone := make(chan struct{})
			c := call(t, func(ss grpc.ServerStream) error {
				<-ss.Context().Done()
				close(gone)
				return nil
			})
			ctx, cancel := ctx()
			defer cancel()
			if name == "CANCELED" {
				go func() { synctest.Wait(); cancel() }()
			}
			r := c.Unary(ctx, nil)
			<-gone
			if r.Status.Code() != codes.Canceled && r.Status.Code() != codes.DeadlineExceeded || (r.Status.Code() == codes.Canceled) != (name == "CANCELED") {
				t.Errorf("%s: %v", name, r.Status)
			}
		})
	}
}

func TestStreamsGoBothWays(t *testing.T) {
	c := call(t, func(ss grpc.ServerStream) error {
		_ = ss.SetHeader(metadata.Pairs("h", "1"))
		for {
			m := &wrapperspb.StringValue{}
			if err := ss.RecvMsg(m); errors.Is(err, io.EOF) {
				ss.SetTrailer(metadata.Pairs("t", "2"))
				return status.Error(codes.Aborted, "end")
			} else if err != nil {
				return err
			}
			if err := ss.SendMsg(m); err != nil {
				return err
			}
		}
	})
	s := c.Open(t.Context())
	defer s.Close()
	buffer := bytes.Repeat([]byte("x"), 1<<16)
	for i := range 10 {
		buffer[0] = byte('a' + i)
		if err := s.Send(packed(t, string(buffer))); err != nil {
			t.Fatal(err)
		}
		m, err := s.Recv()
		if err != nil || unpacked(t, m) != string(buffer) {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if s.Header().Get("H") != "1" {
		t.Errorf("header %v", s.Header())
	}
	s.CloseSend()
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	if s.Status().Code() != codes.Aborted || s.Trailer().Get("T") != "2" {
		t.Errorf("%v %v", s.Status(), s.Trailer())
	}
	if err := s.Send(nil); !errors.Is(err, io.EOF) {
		t.Errorf("a message after the end: %v", err)
	}
}

func TestServerWaitsForTheReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		c := call(t, func(ss grpc.ServerStream) error {
			for range 100 {
				if err := ss.SendMsg(wrapperspb.String("x")); err != nil {
					return err
				}
				sent++
			}
			return nil
		})
		s := c.Open(t.Context())
		defer s.Close()
		synctest.Wait()
		if sent > 2 {
			t.Errorf("%d messages were sent to nobody", sent)
		}
		for n := 0; ; n++ {
			if _, err := s.Recv(); err != nil {
				if n != 100 || s.Status().Code() != codes.OK {
					t.Errorf("%d messages, %v", n, s.Status())
				}
				return
			}
		}
	})
}

func TestCloseEndsAStreamWhateverItDoes(t *testing.T) {
	for name, handler := range map[string]func(ss grpc.ServerStream) error{
		"receives": func(ss grpc.ServerStream) error { return ss.RecvMsg(&wrapperspb.StringValue{}) },
		"sends": func(ss grpc.ServerStream) error {
			for {
				if err := ss.SendMsg(wrapperspb.String("x")); err != nil {
					return err
				}
			}
		},
		"waits": func(ss grpc.ServerStream) error { <-ss.Context().Done(); return ss.Context().Err() },
	} {
		t.Run(name, func(t *testing.T) {
			s := call(t, handler).Open(t.Context())
			s.Close()
			s.Close()
			if s.Status().Code() == codes.OK {
				t.Errorf("%v", s.Status())
			}
			if err := s.Send([]byte("x")); !errors.Is(err, io.EOF) {
				t.Errorf("%v", err)
			}
		})
	}
}
