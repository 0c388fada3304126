package internal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/errs"
	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	"github.com/keelson-dev/keelson/services/audit/repository"
)

// FollowConfig bounds Follow streams. The zero value works.
type FollowConfig struct {
	// AckTimeout ends a stream whose changes have waited for so long because
	// its window was full or the client did not read; 0: 30 s.
	AckTimeout time.Duration `yaml:"ack_timeout" default:"30s" min:"10ms" doc:"ends a stream that has waited for so long for its start, or whose next change has for an acknowledgement or for the client to read"`
	// MaxAge is when a stream ends itself with a token, less up to a tenth at
	// random; 0: 10 min. It must be below the grace that connections get when
	// they reach their age.
	MaxAge time.Duration `yaml:"max_age" default:"10m" min:"1s" doc:"when a stream ends itself with a token to resume, less up to a tenth at random; below grpc.connection_age_grace"`
}

func (c FollowConfig) withDefaults() FollowConfig {
	c.AckTimeout = orDefault(c.AckTimeout, 30*time.Second)
	c.MaxAge = orDefault(c.MaxAge, 10*time.Minute)
	return c
}

// The bounds of a window.
const defaultWindow, maxWindow = 256, 10_000

const (
	// loadBatch is how many changes are read from the store at once.
	loadBatch = 500
	// storeEvery is how often acknowledgements are stored, at most: what comes
	// meanwhile is stored together.
	storeEvery = 20 * time.Millisecond
	// checkEvery is how often a stream looks whether it was taken over.
	checkEvery = time.Second
	// endGrace is how long a stream that ends may take to store, and to say so.
	endGrace = time.Second
)

type (
	followStream  = grpc.BidiStreamingServer[auditv1.FollowRequest, auditv1.FollowResponse]
	followRequest struct {
		*auditv1.FollowRequest
		end error // why nothing follows: io.EOF, or what broke the stream
	}
)

// follower is one Follow stream. Its goroutine decides; others wait for the
// client and the store: one receives, one sends, and one at a time loads
// changes, or stores acknowledgements. None keeps the stream from being ended.
type follower struct {
	*Handler
	ctx      context.Context
	draining <-chan struct{}
	named    bool
	consumer repository.Consumer // Position: what is durable
	window   int64

	in     chan followRequest
	out    chan *auditv1.FollowResponse
	sent   chan error // how sending ended
	loaded chan outcome[[]repository.Change]
	stored chan outcome[int64]
	work   sync.WaitGroup // of loading and storing

	queue   []repository.Change // loaded, not sent
	last    int64               // position sent last
	acked   int64               // position acknowledged last
	told    int64               // position that the client knows to be durable
	tried   time.Time           // when acknowledgements were stored, or the session was checked, last
	blocked time.Time           // since when a change waits for the client; zero: none does
	expires time.Time
	wakeUp  *time.Timer
	loading bool // loaded is awaited
	storing bool // stored is awaited
}

type outcome[T any] struct {
	value T
	err   error
}

// Follow hands changes to a consumer (see the contract in audit.proto).
func (h *Handler) Follow(stream followStream) error {
	h.metrics.consumers.Inc()
	defer h.metrics.consumers.Dec()
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	in := make(chan followRequest)
	go receiveInto(ctx, stream, in)
	f, err := h.startFollow(ctx, in)
	if err == nil {
		err = f.serve(stream)
	}
	reason := "OK"
	if err != nil {
		reason = reasonOf(err)
	}
	h.metrics.ended.WithLabelValues(reason).Inc()
	return err
}

// startFollow waits for the first message and finds where to begin.
func (h *Handler) startFollow(ctx context.Context, in chan followRequest) (*follower, error) {
	start, err := h.awaitStart(ctx, in)
	if err != nil {
		return nil, err
	}
	f := &follower{
		Handler: h, ctx: ctx, draining: h.draining(ctx), named: start.GetConsumer() != "",
		consumer: repository.Consumer{Name: start.GetConsumer(), Position: start.GetAfterPosition()},
		window:   defaultWindow,
		in:       in, out: make(chan *auditv1.FollowResponse), sent: make(chan error, 1),
		loaded: make(chan outcome[[]repository.Change], 1), stored: make(chan outcome[int64], 1),
		expires: time.Now().Add(h.follow.MaxAge - rand.N(h.follow.MaxAge/10+1)),
	}
	if n := int64(start.GetWindow()); n > 0 {
		f.window = min(n, maxWindow)
	}
	return f, f.open(ctx)
}

// awaitStart returns the first message, for which a client has as long as for an
// acknowledgement.
func (h *Handler) awaitStart(ctx context.Context, in <-chan followRequest) (*auditv1.FollowRequest_Start, error) {
	limit := time.NewTimer(h.follow.AckTimeout)
	defer limit.Stop()
	select {
	case req := <-in:
		if req.end != nil && !errors.Is(req.end, io.EOF) {
			return nil, req.end
		}
		if req.GetStart() == nil {
			return nil, invalid("start", "the first message must be start")
		}
		return req.GetStart(), nil
	case <-limit.C:
		return nil, invalid("start", fmt.Sprintf("must come at once, as the first message; nothing came for %s", h.follow.AckTimeout))
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// open finds the consumer, or that the history reaches to where it is to begin.
func (f *follower) open(ctx context.Context) error {
	after := f.consumer.Position
	head, err := f.store.Head(ctx)
	switch {
	case err != nil:
	case f.named:
		f.consumer, err = f.store.Open(ctx, f.consumer.Name, after)
	case after > head:
		err = repository.ErrAhead
	}
	if errors.Is(err, repository.ErrAhead) {
		return positionUnknown(after, head)
	}
	if err != nil {
		return err
	}
	f.last, f.acked, f.told = f.consumer.Position, f.consumer.Position, f.consumer.Position
	return nil
}

func positionUnknown(position, head int64) error {
	return own(errs.OutOfRange(ReasonPositionUnknown, "the history ends at position %d, before %d: it is another history, or the position is not one of it", head, position),
		errs.Meta("head", strconv.FormatInt(head, 10)))
}

// serve runs the stream. The goroutines that receive and send end when the
// handler has returned, because gRPC then ends Recv and Send.
func (f *follower) serve(stream followStream) error {
	leave := f.tail.join()
	defer leave()
	f.wakeUp = time.NewTimer(checkEvery)
	defer f.wakeUp.Stop()
	ctx, cancel := context.WithCancel(f.ctx)
	defer f.work.Wait()
	defer cancel()
	f.ctx = ctx
	go sendFrom(ctx, stream, f.out, f.sent)
	err := f.offer(&auditv1.FollowResponse{Message: &auditv1.FollowResponse_Started_{Started: &auditv1.FollowResponse_Started{
		Consumer: f.consumer.Name, AfterPosition: f.consumer.Position, Window: int32(f.window), //nolint:gosec // at most maxWindow
	}}})
	if err == nil {
		err = f.run()
	}
	return f.finish(err)
}

// receiveInto passes on what the client sends, and at last why nothing follows.
func receiveInto(ctx context.Context, stream followStream, in chan<- followRequest) {
	for {
		req, err := stream.Recv()
		select {
		case in <- followRequest{req, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// sendFrom sends until the channel is closed or the stream breaks, and says
// which.
func sendFrom(ctx context.Context, stream followStream, out <-chan *auditv1.FollowResponse, sent chan<- error) {
	for {
		select {
		case m, ok := <-out:
			if !ok {
				sent <- nil
				return
			}
			if err := stream.Send(m); err != nil {
				sent <- err
				return
			}
		case <-ctx.Done():
			sent <- ctx.Err()
			return
		}
	}
}
