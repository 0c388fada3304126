package internal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
	"github.com/keelson-dev/keelson/services/gateway/internal"
)

func described1(t testing.TB, f *fake, change ...func(*setup)) *gateway {
	t.Helper()
	return newGateway(t, f, append(change, describedBy(echoDescriptors(t)))...)
}

func TestReadsAreSentAgainAndWritesAreNot(t *testing.T) {
	var failures atomic.Int64
	f := newFake(t, func(method string, ss grpc.ServerStream) error {
		if failures.Add(-1) >= 0 {
			return status.Error(codes.Unavailable, "try again")
		}
		return echo(method, ss)
	})
	g := described1(t, f)
	failures.Store(1)
	if got, err := g.call(soon(t), readMethod, "x"); err != nil || got != "X" || f.calls.Load() != 2 {
		t.Errorf("a read was answered %q, %v after %d attempts", got, err, f.calls.Load())
	}
	f.calls.Store(0)
	failures.Store(1)
	if _, err := g.call(soon(t), unaryMethod, "x"); errCode(err) != codes.Unavailable || f.calls.Load() != 1 {
		t.Errorf("a write was answered %v after %d attempts", err, f.calls.Load())
	}
}

func TestWhereNoInstanceIsReadyTheAnswerSaysSo(t *testing.T) {
	f := newFake(t, echo)
	f.server.Stop()
	g := described1(t, f, func(s *setup) { s.config.ReadyTimeout = 20 * time.Millisecond })
	for _, method := range []string{unaryMethod, readMethod, watchMethod, bidiMethod} {
		s := g.stream(t, soon(t), method)
		s.send(t, "x")
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		e := wantError(t, s.end(), codes.Unavailable, errs.ReasonNoReadyInstance)
		if wait, ok := e.RetryAfter(); !ok || wait <= 0 || e.Domain() != internal.Domain {
			t.Errorf("%s: wait %v (%v), domain %s", method, wait, ok, e.Domain())
		}
	}
}

func TestACallWhoseTimeIsShortHearsWhyInTime(t *testing.T) {
	f := newFake(t, echo)
	f.server.Stop()
	g := described1(t, f, func(s *setup) { s.config.ReadyTimeout = time.Hour })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // the reserve for the answer is a part of it
	defer cancel()
	_, err := g.call(ctx, readMethod, "x")
	wantError(t, err, codes.Unavailable, errs.ReasonNoReadyInstance)
}

func TestAnInstanceThatComesInTimeAnswers(t *testing.T) {
	f := newFake(t, echo)
	f.server.Stop()
	g := described1(t, f, func(s *setup) { s.config.ReadyTimeout = time.Minute })
	done := make(chan error, 1)
	go func() { _, err := g.call(soon(t), unaryMethod, "x"); done <- err }()
	f.start(t)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestACallWhoseInstanceDiesWaitsForNoneAsLongAsItMayTake ends the only instance while
// it has a call that may be sent again.
func TestACallWhoseInstanceDiesWaitsForNoneAsLongAsItMayTake(t *testing.T) {
	began := make(chan struct{}, 10)
	silent := func(_ string, ss grpc.ServerStream) error {
		if _, err := receive(ss); err != nil {
			return err
		}
		began <- struct{}{}
		<-ss.Context().Done()
		return ss.Context().Err()
	}
	for name, tc := range map[string]struct {
		patience time.Duration
		after    func(*fake)
		reason   string // empty: it is answered
	}{
		"and does not come back": {20 * time.Millisecond, func(*fake) {}, errs.ReasonNoReadyInstance},
		"and comes back":         {time.Minute, func(f *fake) { f.answer(echo); f.start(t) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, silent)
			g := described1(t, f, func(s *setup) {
				s.config.ReadyTimeout = tc.patience
				s.config.Policy.Timeout, s.config.Drain.Calls = time.Hour, 2*time.Hour
			})
			done := make(chan error, 1)
			go func() { _, err := g.call(soon(t), readMethod, "x"); done <- err }()
			<-began
			f.server.Stop()
			tc.after(f)
			if err := <-done; tc.reason == "" && err != nil {
				t.Error(err)
			} else if tc.reason != "" {
				wantError(t, err, codes.Unavailable, tc.reason)
			}
		})
	}
}

func TestAnOpenCircuitIsTheGatewaysOwnAnswer(t *testing.T) {
	f := newFake(t, func(string, grpc.ServerStream) error { return status.Error(codes.Internal, "broken") })
	g := described1(t, f)
	var err error
	for range 2000 {
		if _, err = g.call(soon(t), unaryMethod, "x"); errCode(err) == codes.Unavailable {
			break
		}
	}
	e := wantError(t, err, codes.Unavailable, errs.ReasonCircuitOpen)
	if wait, ok := e.RetryAfter(); !ok || wait <= 0 || e.Domain() != internal.Domain {
		t.Errorf("wait %v (%v), domain %s", wait, ok, e.Domain())
	}
}

func TestALostConnectionTellsNothingOfTheInside(t *testing.T) {
	began := make(chan struct{}, 10)
	f := newFake(t, func(_ string, ss grpc.ServerStream) error {
		if err := send(ss, "first"); err != nil {
			return err
		}
		began <- struct{}{}
		<-ss.Context().Done()
		return ss.Context().Err()
	})
	g := described1(t, f)
	s := g.stream(t, soon(t), bidiMethod)
	s.want(t, "first")
	<-began
	f.server.Stop()
	err := s.end()
	wantError(t, err, codes.Unavailable, errs.ReasonConnectionLost)
	if m := err.Error(); strings.Contains(m, "bufconn") || strings.Contains(m, "127.0.0.1") || strings.Contains(m, "EOF") || !strings.Contains(m, "while it answered") {
		t.Errorf("heard %v", err)
	}
}

func TestALostConnectionBeforeTheAnswerSaysSo(t *testing.T) {
	began := make(chan struct{}, 10)
	f := newFake(t, func(_ string, ss grpc.ServerStream) error {
		began <- struct{}{}
		<-ss.Context().Done()
		return ss.Context().Err()
	})
	g := described1(t, f)
	for _, method := range []string{unaryMethod, bidiMethod} {
		s := g.stream(t, soon(t), method)
		s.send(t, "x")
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		<-began
		f.server.Stop()
		err := s.end()
		wantError(t, err, codes.Unavailable, errs.ReasonConnectionLost)
		if !strings.Contains(err.Error(), "before it answered") {
			t.Errorf("%s: heard %v", method, err)
		}
		f.start(t)
	}
}

func TestMessagesThatAreTooLargeSaySo(t *testing.T) {
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		g, f := start(echo)
		for _, method := range []string{unaryMethod, watchMethod, bidiMethod} {
			s := g.stream(t, soon(t), method)
			if err := s.SendMsg(wrapperspb.String(strings.Repeat("x", 5<<20))); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			wantError(t, s.end(), codes.ResourceExhausted, errs.ReasonRequestTooLarge)
		}
		f.answer(func(_ string, ss grpc.ServerStream) error {
			if _, err := receive(ss); err != nil {
				return err
			}
			return send(ss, strings.Repeat("x", 17<<20))
		})
		for _, method := range []string{unaryMethod, watchMethod, bidiMethod} {
			s := g.stream(t, soon(t), method, grpc.MaxCallRecvMsgSize(64<<20))
			s.send(t, "x")
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			wantError(t, s.end(), codes.ResourceExhausted, errs.ReasonResponseTooLarge)
		}
	})
}

// TestMessagesThatTheGatewayDoesNotSendOnSaySo has it take more than it may send.
func TestMessagesThatTheGatewayDoesNotSendOnSaySo(t *testing.T) {
	const most, more = 1 << 20, 2 << 20
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		g, f := start(echo, func(s *setup) { s.config.GRPC.MaxSend, s.config.Client.MaxSend = most, most })
		for reason, answer := range map[string]handler{
			errs.ReasonRequestTooLarge: echo,
			errs.ReasonResponseTooLarge: func(_ string, ss grpc.ServerStream) error {
				if _, err := receive(ss); err != nil {
					return err
				}
				return send(ss, strings.Repeat("x", more))
			},
		} {
			f.answer(answer)
			for _, method := range []string{unaryMethod, readMethod, watchMethod, bidiMethod} {
				s := g.stream(t, soon(t), method)
				text := "x"
				if reason == errs.ReasonRequestTooLarge {
					text = strings.Repeat("x", more)
				}
				if err := s.SendMsg(wrapperspb.String(text)); err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				if err := s.CloseSend(); err != nil {
					t.Fatal(err)
				}
				if e := wantError(t, s.end(), codes.ResourceExhausted, reason); e.Domain() != internal.Domain || e.Meta("max_bytes") == "" {
					t.Errorf("%s: %v of the domain %q", method, e, e.Domain())
				}
			}
		}
	})
}

func TestTheNumberOfMessagesIsCheckedAsAServerDoes(t *testing.T) {
	f := newFake(t, echo)
	g := described1(t, f)
	for _, method := range []string{unaryMethod, watchMethod} {
		for _, messages := range []int{0, 2} {
			s := g.stream(t, soon(t), method)
			for range messages {
				s.send(t, "x")
			}
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			wantError(t, s.end(), codes.Unimplemented, errs.ReasonMessageCount)
		}
	}
	if n := f.calls.Load(); n != 0 {
		t.Errorf("%d of them reached the backend", n)
	}
}

func TestASlowReaderStopsTheSender(t *testing.T) {
	const size, window = 16 << 10, 8 << 20 // far above all buffers on the way
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		var sent atomic.Int64
		f := func(_ string, ss grpc.ServerStream) error {
			text := strings.Repeat("x", size)
			for {
				if err := send(ss, text); err != nil {
					return err
				}
				sent.Add(size)
			}
		}
		g, fk := start(f)
		ctx, cancel := context.WithCancel(soon(t))
		s := g.stream(t, ctx, bidiMethod)
		s.want(t, strings.Repeat("x", size)) // and reads nothing more
		stalled(t, &sent, window)
		cancel()

		sent.Store(0)
		fk.answer(func(_ string, ss grpc.ServerStream) error {
			<-ss.Context().Done() // and reads nothing
			return ss.Context().Err()
		})
		ctx, cancel = context.WithCancel(soon(t))
		s = g.stream(t, ctx, bidiMethod)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for s.SendMsg(wrapperspb.String(strings.Repeat("x", size))) == nil {
				sent.Add(size)
			}
		}()
		stalled(t, &sent, window)
		cancel()
		<-done
	})
}

// stalled waits until a sender has sent nothing for a while, and checks how much
// it had.
func stalled(t *testing.T, sent *atomic.Int64, most int64) {
	t.Helper()
	last, same := int64(-1), 0
	keelsontest.Eventually(t, "the sender to stall", func() bool {
		now := sent.Load()
		if now > most {
			t.Fatalf("%d bytes were taken although nobody reads", now)
		}
		if same++; now != last {
			last, same = now, 0
		}
		return same > 40
	})
}

func TestHostileNamesNeverBecomeLabels(t *testing.T) {
	f := newFake(t, echo)
	g := described1(t, f)
	for i := range 50 {
		_, _ = g.call(soon(t), fmt.Sprintf("/%s/Hostile%d", echoService, i), "x")
		_, _ = g.call(soon(t), fmt.Sprintf("/hostile.v1.S%d/M", i), "x")
	}
	families, err := g.service.Registerer().(prometheus.Gatherer).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if text := family.String(); strings.Contains(text, "ostile") {
			t.Errorf("%s has a label that a client made up: %s", family.GetName(), text)
		}
	}
}

func TestServicesThatAreNotAllowedAreNotServed(t *testing.T) {
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		g, f := start(echo)
		for _, method := range []string{"/test.v1.Secret/Unary", "/grpc.channelz.v1.Channelz/GetServers"} {
			if _, err := g.call(soon(t), method, "x"); errCode(err) != codes.Unimplemented {
				t.Errorf("%s: %v", method, err)
			}
		}
		if f.calls.Load() != 0 {
			t.Error("a call reached the backend")
		}
	})
}

func TestADrainEndsStreamsAndLetsCallsFinish(t *testing.T) {
	began, finish := make(chan struct{}, 2), make(chan struct{})
	f := newFake(t, func(method string, ss grpc.ServerStream) error {
		if _, err := receive(ss); err != nil {
			return err
		}
		began <- struct{}{}
		if method == unaryMethod {
			<-finish
			return send(ss, "done")
		}
		<-ss.Context().Done()
		return ss.Context().Err()
	})
	g := described1(t, f)
	s := g.stream(t, soon(t), watchMethod)
	s.send(t, "x")
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	called := make(chan error, 1)
	go func() { _, err := g.call(soon(t), unaryMethod, "x"); called <- err }()
	<-began
	<-began
	drained := make(chan error, 1)
	go func() { drained <- g.drain() }()
	e := wantError(t, s.end(), codes.Unavailable, errs.ReasonDraining)
	if token, ok := errs.ResumeToken(e); ok {
		t.Errorf("there is a token: %q", token)
	}
	close(finish)
	if err := <-called; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestADrainLetsUploadsFinish begins uploads, drains, and goes on.
func TestADrainLetsUploadsFinish(t *testing.T) {
	began := make(chan struct{}, 2)
	f := newFake(t, func(_ string, ss grpc.ServerStream) error {
		all := ""
		for {
			switch text, err := receive(ss); {
			case errors.Is(err, io.EOF):
				return send(ss, all)
			case err != nil:
				return err
			default:
				if all += text; len(all) == 1 {
					began <- struct{}{}
				}
			}
		}
	})
	g := described1(t, f, func(s *setup) { s.config.Drain.Streams = time.Minute }) // which nobody waits for
	var uploads []*texts
	for _, method := range []string{sendMethod, bidiMethod} {
		s := g.stream(t, soon(t), method)
		s.send(t, "a")
		<-began
		uploads = append(uploads, s)
	}
	draining := g.stream(t, soon(t), platformv1.PlatformService_WatchServices_FullMethodName)
	if err := errors.Join(draining.SendMsg(&platformv1.WatchServicesRequest{}), draining.CloseSend()); err != nil {
		t.Fatal(err)
	}
	drained := make(chan error, 1)
	go func() { drained <- g.drain() }()
	for err := error(nil); err == nil; { // until the drain has come to the streams
		err = draining.RecvMsg(&platformv1.WatchServicesResponse{})
	}
	for _, s := range uploads {
		s.send(t, "b")
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		s.want(t, "ab")
		if err := s.end(); !errors.Is(err, io.EOF) {
			t.Errorf("an upload ended with %v", err)
		}
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}
