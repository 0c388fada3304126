package internal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	"github.com/keelson-dev/keelson/services/audit/internal"
	"github.com/keelson-dev/keelson/services/audit/repository"
)

// following is one Follow stream as its client has it. Whatever it receives, it
// checks that the window is kept.
type following struct {
	grpc.BidiStreamingClient[auditv1.FollowRequest, auditv1.FollowResponse]
	t       testing.TB
	bound   int64   // the last position that may come
	window  int64   // beyond what is acknowledged
	pending []int64 // positions received and not asked for
}

// follow starts a stream and returns it with the server's first answer.
func follow(t testing.TB, c auditv1.AuditServiceClient, start *auditv1.FollowRequest_Start) (*following, *auditv1.FollowResponse_Started) {
	t.Helper()
	f := &following{t: t, BidiStreamingClient: wantOK[grpc.BidiStreamingClient[auditv1.FollowRequest, auditv1.FollowResponse]](t)(c.Follow(soon(t)))}
	f.send(&auditv1.FollowRequest{Message: &auditv1.FollowRequest_Start_{Start: start}})
	started := f.recv().GetStarted()
	f.window = int64(started.GetWindow())
	f.bound = started.GetAfterPosition() + f.window
	return f, started
}

func (f *following) send(req *auditv1.FollowRequest) {
	f.t.Helper()
	if err := f.Send(req); err != nil {
		f.t.Fatal(err)
	}
}

func (f *following) ack(position int64) {
	f.t.Helper()
	f.bound = max(f.bound, position+f.window)
	f.send(&auditv1.FollowRequest{Message: &auditv1.FollowRequest_Ack_{Ack: &auditv1.FollowRequest_Ack{Position: position}}})
}

func (f *following) recv() *auditv1.FollowResponse {
	f.t.Helper()
	m := wantOK[*auditv1.FollowResponse](f.t)(f.Recv())
	if p := m.GetChange().GetPosition(); p > f.bound {
		f.t.Fatalf("position %d is beyond the window, which ends at %d", p, f.bound)
	}
	return m
}

// changes receives n changes, and returns their positions.
func (f *following) changes(n int) []int64 {
	f.t.Helper()
	for len(f.pending) < n {
		if c := f.recv().GetChange(); c != nil {
			f.pending = append(f.pending, c.GetPosition())
		}
	}
	got := f.pending[:n:n]
	f.pending = f.pending[n:]
	return got
}

// durable receives until a position is acknowledged durably.
func (f *following) durable(position int64) {
	f.t.Helper()
	for at := int64(0); at < position; {
		m := f.recv()
		if c := m.GetChange(); c != nil {
			f.pending = append(f.pending, c.GetPosition())
		}
		at = max(at, m.GetAcknowledged().GetPosition())
	}
}

// untilEnd receives until the stream ends, whenever that is. It acknowledges a
// position when it comes, calls then when that is durable, and returns up to
// where it heard so.
func (f *following) untilEnd(ack int64, then func()) (durable int64, err error) {
	for {
		m, err := f.Recv()
		if err != nil {
			return durable, err
		}
		if m.GetChange().GetPosition() == ack {
			_ = f.Send(&auditv1.FollowRequest{Message: &auditv1.FollowRequest_Ack_{Ack: &auditv1.FollowRequest_Ack{Position: ack}}})
		}
		if a := m.GetAcknowledged(); a != nil {
			durable = a.GetPosition()
			then()
		}
	}
}

// end is how the stream ends.
func (f *following) end() error {
	for {
		if _, err := f.Recv(); err != nil {
			return err
		}
	}
}

func wantPositions(t testing.TB, got []int64, first, last int64) {
	t.Helper()
	var want []int64
	for p := first; p <= last; p++ {
		want = append(want, p)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got the changes %v; want %d to %d", got, first, last)
	}
}

// longHistory is a store with n changes.
func longHistory(t testing.TB, n int) repository.Store {
	t.Helper()
	store := newStore(t)
	changes := updates(n, "anna")
	l := wantOK[repository.Lease](t)(store.Acquire(t.Context(), "test", time.Minute))
	wantOK[repository.State](t)(store.Append(t.Context(), repository.Batch{Fence: l.Fence, From: l.State, Changes: changes, Generation: 1}, time.Minute))
	return store
}

func TestAConsumerGetsEveryChangeInOrder(t *testing.T) {
	store := longHistory(t, 1200) // more than is loaded at once
	c := serve(t, store, newDirectory(), internal.FollowConfig{})
	f, started := follow(t, c, &auditv1.FollowRequest_Start{Consumer: "mail", Window: 700})
	if started.GetConsumer() != "mail" || started.GetAfterPosition() != 0 || started.GetWindow() != 700 {
		t.Errorf("started is %v", started)
	}
	wantPositions(t, f.changes(700), 1, 700)
	f.ack(700)
	wantPositions(t, f.changes(500), 701, 1200)
	f.ack(1200)
	f.durable(1200)
	extend(t, store, updates(1, "bert")...) // by another instance: nobody wakes the tail
	wantPositions(t, f.changes(1), 1201, 1201)
}

func TestTheWindowBoundsWhatIsNotAcknowledged(t *testing.T) {
	c := serve(t, longHistory(t, 30), newDirectory(), internal.FollowConfig{})
	f, _ := follow(t, c, &auditv1.FollowRequest_Start{Consumer: "mail", Window: 4})
	wantPositions(t, f.changes(4), 1, 4)
	f.ack(1)
	f.ack(1) // again: nothing
	f.durable(1)
	wantPositions(t, f.changes(1), 5, 5)
	f.ack(5) // covers those before
	wantPositions(t, f.changes(4), 6, 9)
	f.ack(3) // goes back: nothing
	f.ack(9)
	f.durable(9)
	wantPositions(t, f.changes(4), 10, 13)
}

func TestWindowsHaveBounds(t *testing.T) {
	c := serve(t, newStore(t), newDirectory(), internal.FollowConfig{})
	for asked, want := range map[int32]int32{0: 256, 1: 1, 1_000_000: 10_000} {
		if _, started := follow(t, c, &auditv1.FollowRequest_Start{Window: asked}); started.GetWindow() != want {
			t.Errorf("a window of %d is %d; want %d", asked, started.GetWindow(), want)
		}
	}
}

func TestAConsumerGoesOnAfterItsLastAcknowledgementAtAnyInstance(t *testing.T) {
	store := longHistory(t, 9)
	one, two := serve(t, store, newDirectory(), internal.FollowConfig{}), serve(t, store, newDirectory(), internal.FollowConfig{})
	f, _ := follow(t, one, &auditv1.FollowRequest_Start{Consumer: "mail", AfterPosition: 2})
	wantPositions(t, f.changes(7), 3, 9)
	f.ack(6)
	f.durable(6)
	f, started := follow(t, two, &auditv1.FollowRequest_Start{Consumer: "mail", AfterPosition: 2}) // while the first one is there
	if started.GetAfterPosition() != 6 {
		t.Errorf("it goes on after %d; want 6", started.GetAfterPosition())
	}
	wantPositions(t, f.changes(3), 7, 9)
	f.ack(8)
	if err := f.CloseSend(); err != nil {
		t.Fatal(err)
	}
	f.durable(8)
	if _, err := f.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("a half-closed stream ends with %v", err)
	}
	f, _ = follow(t, one, &auditv1.FollowRequest_Start{Consumer: "mail"})
	wantPositions(t, f.changes(1), 9, 9)
	other, _ := follow(t, one, &auditv1.FollowRequest_Start{Consumer: "push"})
	wantPositions(t, other.changes(1), 1, 1)
}

func TestANewStreamTakesAConsumerOver(t *testing.T) {
	store := longHistory(t, 9)
	one, two := serve(t, store, newDirectory(), internal.FollowConfig{}), serve(t, store, newDirectory(), internal.FollowConfig{})
	for _, c := range []struct {
		name string
		do   func(*following)
	}{
		{"and the one before hears it when it acknowledges", func(f *following) { f.ack(2) }},
		{"and the one before hears it by itself", func(*following) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, _ := follow(t, one, &auditv1.FollowRequest_Start{Consumer: "mail"})
			old.changes(2)
			fresh, started := follow(t, two, &auditv1.FollowRequest_Start{Consumer: "mail"})
			c.do(old)
			wantError(t, old.end(), codes.Aborted, "CONSUMER_TAKEN_OVER", "")
			if started.GetAfterPosition() != 0 {
				t.Errorf("the new stream begins after %d; want 0", started.GetAfterPosition())
			}
			wantPositions(t, fresh.changes(9), 1, 9)
		})
	}
}

// busy is a store on which, whenever a stream has looked where the history ends,
// the consumer's stream at another instance is handed the next change and
// acknowledges it.
type busy struct{ repository.Store }

func (b *busy) Head(ctx context.Context) (int64, error) {
	head, err := b.Store.Head(ctx)
	if err != nil {
		return 0, err
	}
	l, err := b.Acquire(ctx, "test", time.Minute)
	if err != nil {
		return 0, err
	}
	changes := []repository.Change{{Kind: repository.KindCreated, UserUID: fmt.Sprint("uid-", head)}}
	if _, err := b.Append(ctx, repository.Batch{Fence: l.Fence, From: l.State, Changes: changes, Generation: 1}, time.Minute); err != nil {
		return 0, err
	}
	return head, b.Acknowledge(ctx, repository.Consumer{Name: "mail", Session: 1, Position: head + 1})
}

func TestAConsumerIsTakenOverWhileItGoesOn(t *testing.T) {
	store := longHistory(t, 3)
	follow(t, serve(t, store, newDirectory(), internal.FollowConfig{}), &auditv1.FollowRequest_Start{Consumer: "mail"})
	h := internal.NewHandler(&busy{store}, newDirectory(), internal.UsersConfig{}, internal.FollowConfig{}) // its tail does not run
	conn, _ := keelsontest.Start(t, func(s *keelson.Service) { auditv1.RegisterAuditServiceServer(s, h) })
	if _, started := follow(t, auditv1.NewAuditServiceClient(conn), &auditv1.FollowRequest_Start{Consumer: "mail"}); started.GetAfterPosition() != 4 {
		t.Errorf("it goes on after %d; want 4, which was acknowledged a moment ago", started.GetAfterPosition())
	}
}

func TestAKnownConsumerGoesOnWhateverItIsTold(t *testing.T) {
	c := serve(t, longHistory(t, 3), newDirectory(), internal.FollowConfig{})
	for _, after := range []int64{2, 0, 99} {
		if _, started := follow(t, c, &auditv1.FollowRequest_Start{Consumer: "mail", AfterPosition: after}); started.GetAfterPosition() != 2 {
			t.Errorf("told to begin after %d, it goes on after %d; want 2", after, started.GetAfterPosition())
		}
	}
}

func TestAStreamThatSaysNothingIsEnded(t *testing.T) {
	c := serve(t, newStore(t), newDirectory(), internal.FollowConfig{AckTimeout: 10 * time.Millisecond})
	s := wantOK[grpc.BidiStreamingClient[auditv1.FollowRequest, auditv1.FollowResponse]](t)(c.Follow(soon(t)))
	_, err := s.Recv()
	wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", "start")
}

func TestAStreamThatSaysNothingEndsWithTheDrain(t *testing.T) {
	c := serve(t, newStore(t), newDirectory(), internal.FollowConfig{})
	s := wantOK[grpc.BidiStreamingClient[auditv1.FollowRequest, auditv1.FollowResponse]](t)(c.Follow(soon(t)))
	if err := c.drain(); err != nil {
		t.Error(err)
	}
	if _, err := s.Recv(); errs.Code(err) != codes.Unavailable {
		t.Errorf("it ends with %v; want UNAVAILABLE", err)
	}
}

func TestAStreamWithoutANameBeginsWhereItIsTold(t *testing.T) {
	c := serve(t, longHistory(t, 5), newDirectory(), internal.FollowConfig{})
	for range 2 {
		f, started := follow(t, c, &auditv1.FollowRequest_Start{AfterPosition: 2})
		if started.GetConsumer() != "" || started.GetAfterPosition() != 2 {
			t.Errorf("started is %v", started)
		}
		wantPositions(t, f.changes(3), 3, 5)
		f.ack(5)
		f.durable(5)
	}
}

func TestFollowRefusesWhatIsWrong(t *testing.T) {
	c := serve(t, longHistory(t, 5), newDirectory(), internal.FollowConfig{})
	start := &auditv1.FollowRequest{Message: &auditv1.FollowRequest_Start_{Start: &auditv1.FollowRequest_Start{Window: 2}}}
	begin := func(s *auditv1.FollowRequest_Start) *auditv1.FollowRequest {
		return &auditv1.FollowRequest{Message: &auditv1.FollowRequest_Start_{Start: s}}
	}
	ack := func(position int64) *auditv1.FollowRequest {
		return &auditv1.FollowRequest{Message: &auditv1.FollowRequest_Ack_{Ack: &auditv1.FollowRequest_Ack{Position: position}}}
	}
	for _, test := range []struct {
		name, field string
		code        codes.Code
		reason      string
		send        []*auditv1.FollowRequest
	}{
		{"an acknowledgement first", "start", codes.InvalidArgument, "INVALID_REQUEST", []*auditv1.FollowRequest{ack(1)}},
		{"an empty message first", "start", codes.InvalidArgument, "INVALID_REQUEST", []*auditv1.FollowRequest{{}}},
		{"start twice", "start", codes.InvalidArgument, "INVALID_REQUEST", []*auditv1.FollowRequest{start, start}},
		{"an empty message later", "ack", codes.InvalidArgument, "INVALID_REQUEST", []*auditv1.FollowRequest{start, {}}},
		{"a position that was not sent", "ack.position", codes.InvalidArgument, "INVALID_REQUEST", []*auditv1.FollowRequest{start, ack(3)}},
		{"a position that is none", "ack.position", codes.InvalidArgument, "INVALID_REQUEST", []*auditv1.FollowRequest{start, ack(0)}},
		{"a bad name", "start.consumer", codes.InvalidArgument, "INVALID_REQUEST", []*auditv1.FollowRequest{begin(&auditv1.FollowRequest_Start{Consumer: "a b"})}},
		{"a negative position", "start.after_position", codes.InvalidArgument, "INVALID_REQUEST", []*auditv1.FollowRequest{begin(&auditv1.FollowRequest_Start{AfterPosition: -1})}},
		{"a consumer that begins after the last", "", codes.OutOfRange, "POSITION_UNKNOWN", []*auditv1.FollowRequest{begin(&auditv1.FollowRequest_Start{Consumer: "mail", AfterPosition: 6})}},
		{"a position after the last", "", codes.OutOfRange, "POSITION_UNKNOWN", []*auditv1.FollowRequest{begin(&auditv1.FollowRequest_Start{AfterPosition: 6})}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &following{t: t, BidiStreamingClient: wantOK[grpc.BidiStreamingClient[auditv1.FollowRequest, auditv1.FollowResponse]](t)(c.Follow(soon(t)))}
			for _, m := range test.send {
				_ = f.Send(m) // the stream may have ended
			}
			wantError(t, f.end(), test.code, test.reason, test.field)
		})
	}
}

func TestStreamsThatEndThemselvesSayWhereToGoOn(t *testing.T) {
	for _, test := range []struct {
		name   string
		cfg    internal.FollowConfig
		reason string
		code   codes.Code
		drain  bool
	}{
		{"when the client does not acknowledge", internal.FollowConfig{AckTimeout: 300 * time.Millisecond}, "SLOW_CONSUMER", codes.Aborted, false},
		{"when they are old", internal.FollowConfig{MaxAge: 300 * time.Millisecond}, "FOLLOW_EXPIRED", codes.Aborted, false},
		{"when the instance drains", internal.FollowConfig{}, "DRAINING", codes.Unavailable, true},
	} {
		for _, consumer := range []string{"", "mail"} {
			t.Run(fmt.Sprintf("%s, named %q", test.name, consumer), func(t *testing.T) {
				store := longHistory(t, 9)
				c := serve(t, store, newDirectory(), test.cfg)
				f, _ := follow(t, c, &auditv1.FollowRequest_Start{Consumer: consumer, Window: 3})
				acknowledged, err := f.untilEnd(2, func() {
					if test.drain {
						go func() { _ = c.drain() }()
					}
				})
				wantError(t, err, test.code, test.reason, "")
				token, _ := errs.ResumeToken(err)
				at, bad := strconv.ParseInt(token, 10, 64)
				if bad != nil || at < acknowledged || at > 2 {
					t.Fatalf("the token is %q; want what is acknowledged, at least %d", token, acknowledged)
				}
				again, _ := follow(t, serve(t, store, newDirectory(), internal.FollowConfig{}), &auditv1.FollowRequest_Start{Consumer: consumer, AfterPosition: at})
				wantPositions(t, again.changes(int(9-at)), at+1, 9)
			})
		}
	}
}

// TestAcknowledgementsOutliveTheStream breaks a stream right after its
// acknowledgement was read.
func TestAcknowledgementsOutliveTheStream(t *testing.T) {
	store := longHistory(t, 300)
	c := serve(t, store, newDirectory(), internal.FollowConfig{})
	for p := int64(1); p <= 20; p++ {
		f, started := follow(t, c, &auditv1.FollowRequest_Start{Consumer: "mail", Window: 1})
		if started.GetAfterPosition() != p-1 {
			t.Fatalf("it goes on after %d; want %d", started.GetAfterPosition(), p-1)
		}
		f.changes(1)
		f.ack(p)
		if err := f.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := f.end(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
}
