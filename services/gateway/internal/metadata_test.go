package internal_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/services/gateway/internal"
)

func TestMetadataGoesThroughByTheRule(t *testing.T) {
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		heard := make(chan metadata.MD, 1)
		g, _ := start(func(_ string, ss grpc.ServerStream) error {
			md, _ := metadata.FromIncomingContext(ss.Context())
			heard <- md
			if _, err := receive(ss); err != nil {
				return err
			}
			ss.SetTrailer(metadata.Pairs("x-trailer", "t", "x-trailer-bin", "\x00\xff", call.CorrelationKey, "the-backends"))
			return errors.Join(ss.SetHeader(metadata.Pairs("x-header", "h1", "x-header", "h2", "x-header-bin", "\x01\xfe", "x-keelson-internal", "no")), send(ss, "ok"))
		})
		sent := metadata.Pairs("x-mine", "1", "x-mine", "2", "x-mine-bin", "\x00\x01\xff", "authorization", "Bearer t",
			"x-api-key", "secret", "x-forwarded-for", "203.0.113.7", "forwarded", "for=x", "grpc-tags-bin", "x",
			"x-keelson-identity", "admin", call.CorrelationKey, "mine-1")
		for _, method := range []string{unaryMethod, readMethod, watchMethod, bidiMethod} {
			ctx := metadata.NewOutgoingContext(soon(t), sent)
			s := g.stream(t, ctx, method)
			s.send(t, "x")
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			s.want(t, "ok")
			_ = s.end()
			got := <-heard
			for key, want := range map[string]string{
				"x-mine": "1|2", "x-mine-bin": "\x00\x01\xff", "authorization": "Bearer t", call.CorrelationKey: "mine-1",
				"x-api-key": "", "x-forwarded-for": "", "forwarded": "", "grpc-tags-bin": "", "x-keelson-identity": "",
			} {
				if v := strings.Join(got.Get(key), "|"); v != want {
					t.Errorf("%s: the backend got %s %q; want %q", method, key, v, want)
				}
			}
			if len(got.Get("traceparent")) != 1 {
				t.Errorf("%s: the trace is %q", method, got.Get("traceparent"))
			}
			header, err := s.Header()
			if err != nil {
				t.Fatal(err)
			}
			if v := strings.Join(header.Get("x-header"), "|"); v != "h1|h2" || header.Get("x-header-bin")[0] != "\x01\xfe" || len(header.Get("x-keelson-internal")) > 0 {
				t.Errorf("%s: the header is %v", method, header)
			}
			trailer := s.Trailer()
			if v := trailer.Get(call.CorrelationKey); len(v) != 1 || v[0] != "mine-1" || trailer.Get("x-trailer")[0] != "t" || trailer.Get("x-trailer-bin")[0] != "\x00\xff" {
				t.Errorf("%s: the trailer is %v", method, trailer)
			}
		}
	})
}

func TestNoHeaderComesBeforeTheFirstMessageOfItself(t *testing.T) {
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		g, _ := start(func(_ string, ss grpc.ServerStream) error {
			if _, err := receive(ss); err != nil {
				return err
			}
			return status.Error(codes.Unavailable, "later")
		})
		for _, method := range []string{unaryMethod, watchMethod, bidiMethod} {
			s := g.stream(t, soon(t), method)
			s.send(t, "x")
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			err := s.end()
			if header, _ := s.Header(); header != nil || errCode(err) != codes.Unavailable {
				t.Errorf("%s: header %v, %v", method, header, err)
			}
		}
	})
}

func TestAHeaderOfTheBackendIsNotHeldBack(t *testing.T) {
	f := newFake(t, func(_ string, ss grpc.ServerStream) error {
		if err := ss.SendHeader(metadata.Pairs("x-header", "early")); err != nil {
			return err
		}
		return echo("", ss) // which waits for the client
	})
	g := newGateway(t, f, describedBy(echoDescriptors(t)))
	s := g.stream(t, soon(t), bidiMethod)
	if header, err := s.Header(); err != nil || len(header.Get("x-header")) != 1 {
		t.Errorf("the header is %v, %v", header, err)
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add("x-mine", "value")
	f.Add("x-mine-bin", "\x00\xff")
	f.Add("grpc-status", "0")
	f.Add(":path", "/")
	f.Add("x\n", "\r\n")
	f.Fuzz(func(t *testing.T, key, value string) {
		for got, values := range internal.Forwarded(metadata.MD{key: {value}}) {
			if got != key || len(values) != 1 || values[0] != value {
				t.Errorf("%q: %q became %q: %q", key, value, got, values)
			}
			if got != strings.ToLower(got) || strings.HasPrefix(got, "grpc-") || strings.HasPrefix(got, ":") || got == call.CorrelationKey {
				t.Errorf("%q goes through", got)
			}
			if strings.ContainsAny(got, "\r\n \x00") || !strings.HasSuffix(got, "-bin") && strings.ContainsAny(values[0], "\r\n\x00\x7f") {
				t.Errorf("%q: %q goes through", got, values)
			}
		}
	})
}
