package internal_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// ways are the ways in which a gateway comes to know methods.
func ways(t *testing.T, test func(t *testing.T, start func(h handler, change ...func(*setup)) (*gateway, *fake))) {
	t.Run("described by a file", func(t *testing.T) {
		test(t, func(h handler, change ...func(*setup)) (*gateway, *fake) {
			f := newFake(t, h)
			return newGateway(t, f, append(change, describedBy(echoDescriptors(t)))...), f
		})
	})
	t.Run("described by reflection", func(t *testing.T) {
		test(t, func(h handler, change ...func(*setup)) (*gateway, *fake) {
			f := newFake(t, h, describe(t, echoSet()).byV1)
			g := newGateway(t, f, change...)
			g.knows(t, echoService, "")
			f.calls.Store(0)
			return g, f
		})
	})
	t.Run("not described", func(t *testing.T) {
		test(t, func(h handler, change ...func(*setup)) (*gateway, *fake) {
			f := newFake(t, h)
			return newGateway(t, f, change...), f
		})
	})
}

func TestEveryKindIsForwarded(t *testing.T) {
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		g, _ := start(echo)
		ctx := soon(t)
		for _, method := range []string{unaryMethod, readMethod} {
			if got, err := g.call(ctx, method, "text"); err != nil || got != "TEXT" {
				t.Errorf("%s answered %q, %v", method, got, err)
			}
		}
		for _, method := range []string{watchMethod, sendMethod, bidiMethod} {
			s := g.stream(t, ctx, method)
			s.send(t, "text")
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			s.want(t, "TEXT")
			if err := s.end(); !errors.Is(err, io.EOF) {
				t.Errorf("%s ended with %v", method, err)
			}
		}
	})
}

func TestNoMessageIsHeldBack(t *testing.T) {
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		g, _ := start(echo)
		s := g.stream(t, soon(t), bidiMethod)
		for _, text := range []string{"a", "b", "c"} { // the next only when the last was answered
			s.send(t, text)
			s.want(t, strings.ToUpper(text))
		}
	})
}

func TestAnEmptyMessageIsAMessage(t *testing.T) {
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		g, _ := start(echo)
		if got, err := g.call(soon(t), unaryMethod, ""); err != nil || got != "" {
			t.Errorf("answered %q, %v", got, err)
		}
		s := g.stream(t, soon(t), bidiMethod)
		s.send(t, "")
		s.want(t, "")
	})
}

func TestEitherSideMayEndFirst(t *testing.T) {
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		g, _ := start(func(_ string, ss grpc.ServerStream) error {
			switch text, err := receive(ss); {
			case err != nil:
				return err
			case text == "end": // the client has not ended its sending
				return nil
			}
			if _, err := receive(ss); !errors.Is(err, io.EOF) {
				return errors.New("the client has not ended its sending")
			}
			return errors.Join(send(ss, "one more"), send(ss, "and one"))
		})
		s := g.stream(t, soon(t), bidiMethod)
		s.send(t, "go on")
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		s.want(t, "one more")
		s.want(t, "and one")
		if err := s.end(); !errors.Is(err, io.EOF) {
			t.Errorf("ended with %v", err)
		}
		s = g.stream(t, soon(t), bidiMethod)
		s.send(t, "end")
		if err := s.end(); !errors.Is(err, io.EOF) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestCancellationAndDeadlineReachTheBackend(t *testing.T) {
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		began, ended := make(chan context.Context), make(chan error)
		g, _ := start(func(_ string, ss grpc.ServerStream) error {
			if _, err := receive(ss); err != nil {
				return err
			}
			began <- ss.Context()
			<-ss.Context().Done()
			ended <- ss.Context().Err()
			return ss.Context().Err()
		})
		for _, method := range []string{readMethod, unaryMethod, watchMethod, bidiMethod} {
			ctx, cancel := context.WithTimeout(soon(t), 1<<35)
			deadline, _ := ctx.Deadline()
			done := make(chan error)
			go func() {
				s, err := g.NewStream(ctx, &grpc.StreamDesc{ClientStreams: method == bidiMethod, ServerStreams: true}, method)
				if err == nil {
					x := &texts{s}
					x.send(t, "wait")
					if method != bidiMethod {
						err = s.CloseSend()
					}
					if err == nil {
						err = x.end()
					}
				}
				done <- err
			}()
			there := <-began
			got, ok := there.Deadline()
			if off := deadline.Sub(got); !ok || off.Abs() > 10*time.Second && method != readMethod && method != unaryMethod {
				t.Errorf("%s: the backend's deadline is off by %v", method, off)
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("%s: the backend's context ended with %v", method, err)
			}
			if err := <-done; errCode(err) != codes.Canceled {
				t.Errorf("%s ended with %v", method, err)
			}
		}
	})
}
