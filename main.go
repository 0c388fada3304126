package keelson

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/keelson-dev/keelson/lifecycle"
	"github.com/keelson-dev/keelson/telemetry/logs"
)

// Main is the whole of a service's main function: it runs a function under a
// context that the first SIGINT or SIGTERM ends, prints its error, and exits
// with 0 or 1. A second signal exits at once. [ErrPrinted] is success.
//
// It also sets what belongs to the whole process: gRPC's own log goes to that of
// the service that runs, a log pipe whose reader has gone does not end the
// process, and the garbage collector leaves a small heap alone for longer: it
// counts 32 MiB that nobody touches, which a process does not occupy, as in use;
// see [WithHeapFloor]. GOGC or GOMEMLIMIT in the environment turn that off.
func Main(run func(ctx context.Context) error, opts ...MainOption) {
	os.Exit(exitCode(run, os.Stderr, opts...))
}

// MainOption changes what [Main] does.
type MainOption func(*mainOptions)

type mainOptions struct{ heapFloor int }

// WithHeapFloor sets how much memory the garbage collector counts as in use beside
// what is, in bytes: that much more garbage, at most, stays resident, and the
// collector runs less often. 0 is none; the default is 32 MiB.
func WithHeapFloor(bytes int) MainOption {
	return func(o *mainOptions) { o.heapFloor = max(bytes, 0) }
}

func exitCode(run func(ctx context.Context) error, stderr io.Writer, opts ...MainOption) int {
	o := mainOptions{heapFloor: heapFloorSize}
	for _, opt := range opts {
		opt(&o)
	}
	signal.Ignore(syscall.SIGPIPE)
	route := &grpcRoute{}
	logs.RouteGRPC(slog.New(route))
	floor := heapFloor(o.heapFloor)
	defer runtime.KeepAlive(floor)
	ctx, stop := lifecycle.SignalContext(context.WithValue(context.Background(), routeKey{}, route))
	defer stop()
	err := run(ctx)
	if err == nil || errors.Is(err, ErrPrinted) {
		return 0
	}
	say(stderr, "error: "+err.Error())
	return 1
}

// say prints the last words of a process, but never waits for a pipe that nobody
// reads: that may be the very error.
func say(stderr io.Writer, text string) {
	said := make(chan struct{})
	go func() { defer close(said); fmt.Fprintln(stderr, text) }()
	select {
	case <-said:
	case <-time.After(time.Second):
	}
}

// heapFloorSize is the default of [WithHeapFloor]. A service allocates some 15 KB
// per call and keeps a few MiB, so that without it the collector would run every few
// hundred calls.
const heapFloorSize = 32 << 20

// heapFloor returns memory that is never touched, and so never resident.
func heapFloor(size int) []byte {
	if os.Getenv("GOGC") != "" || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return nil
	}
	return make([]byte, size)
}

// grpcRoute is where gRPC's own log goes: nowhere, until a service runs. gRPC
// takes its logger once and without synchronisation, so what is set at the start
// of the process is this switch.
type grpcRoute struct{ to atomic.Pointer[slog.Handler] }

type routeKey struct{}

// routeGRPC leads gRPC's log to the service, when [Main] runs it.
func (s *Service) routeGRPC(ctx context.Context) {
	if route, ok := ctx.Value(routeKey{}).(*grpcRoute); ok {
		h := s.log.Handler()
		route.to.Store(&h)
	}
}

func (r *grpcRoute) handler() slog.Handler {
	if h := r.to.Load(); h != nil {
		return *h
	}
	return slog.DiscardHandler
}

// Enabled asks the service's handler.
func (r *grpcRoute) Enabled(ctx context.Context, l slog.Level) bool {
	return r.handler().Enabled(ctx, l)
}

// Handle passes a record on to the service's handler, as gRPC's.
func (r *grpcRoute) Handle(ctx context.Context, record slog.Record) error {
	return r.handler().Handle(ctx, record)
}

// WithAttrs returns the route itself: gRPC's lines need no attributes beyond
// their text.
func (r *grpcRoute) WithAttrs([]slog.Attr) slog.Handler { return r }

// WithGroup returns the route itself.
func (r *grpcRoute) WithGroup(string) slog.Handler { return r }
