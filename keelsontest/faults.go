package keelsontest

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
)

// ReasonInjected is the reason of the errors that [Faults.Fail] makes.
const ReasonInjected = "FAULT_INJECTED"

// Faults disturb calls by method, inside the chain of a service: its deadlines,
// metrics and logs see them as they would a sick handler. A method is named
// /package.Service/Method. The zero value disturbs nothing; it is safe for
// concurrent use, also while calls are under way.
type Faults struct {
	mu     sync.Mutex
	faults map[string]*fault
	pipe   *pipe
}

type fault struct {
	left int // calls it still strikes; negative: all
	act  func(ctx context.Context) error
}

// Delay makes calls of a method wait before the handler runs.
func (f *Faults) Delay(method string, d time.Duration) {
	f.set(method, -1, func(ctx context.Context) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// Fail answers the next n calls of a method with a code; n < 0: all.
func (f *Faults) Fail(method string, code codes.Code, n int) {
	f.set(method, n, func(context.Context) error {
		return errs.New(code, ReasonInjected, "this fault was injected into %s", method)
	})
}

// Hang makes calls of a method wait until their context ends.
func (f *Faults) Hang(method string) {
	f.set(method, -1, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
}

// Drop breaks the connection under the next n calls of a method, as a crash of
// the instance would; n < 0: under all.
func (f *Faults) Drop(method string, n int) {
	f.set(method, n, func(ctx context.Context) error {
		f.mu.Lock()
		p := f.pipe
		f.mu.Unlock()
		p.breakConns()
		<-ctx.Done()
		return ctx.Err()
	})
}

// Heal leaves a method undisturbed again.
func (f *Faults) Heal(method string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.faults, method)
}

func (f *Faults) attach(p *pipe) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pipe = p
}

func (f *Faults) set(method string, n int, act func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.faults == nil {
		f.faults = map[string]*fault{}
	}
	f.faults[method] = &fault{left: n, act: act}
}

// strike does to a call what its method's fault says.
func (f *Faults) strike(ctx context.Context, method string) error {
	f.mu.Lock()
	hit := f.faults[method]
	if hit == nil || hit.left == 0 {
		f.mu.Unlock()
		return nil
	}
	if hit.left > 0 {
		hit.left--
	}
	f.mu.Unlock()
	return hit.act(ctx)
}

func (f *Faults) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := f.strike(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (f *Faults) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := f.strike(ss.Context(), info.FullMethod); err != nil {
		return err
	}
	return handler(srv, ss)
}
