package lifecycle

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// SignalError is the cause of a context that a signal ended.
type SignalError struct {
	// Signal is the one that came.
	Signal os.Signal
}

// Error names the signal.
func (e *SignalError) Error() string { return "received " + e.Signal.String() }

// WithExit replaces os.Exit for SignalContext's second signal.
func WithExit(exit func(code int)) Option {
	return optionFunc(func(o *options) { o.exit = exit })
}

// SignalContext gives a context that ends with the first SIGINT or SIGTERM; its
// cause is a *SignalError. A second one, whichever of the two, means that whoever
// sent it will not wait for the drain: it is logged, and the process exits with
// 128 plus the signal's number (130 or 143).
//
// stop ends the context, gives the signals back to their default and waits for
// the goroutine. The caller has to call it.
func SignalContext(parent context.Context, opts ...Option) (ctx context.Context, stop func()) {
	o := newOptions(opts)
	if o.exit == nil {
		o.exit = os.Exit
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithCancelCause(parent)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		watchSignals(signals, quit, o, cancel)
	}()
	return ctx, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(quit)
		<-done
		cancel(context.Canceled)
	})
}

func watchSignals(signals <-chan os.Signal, quit <-chan struct{}, o options, cancel context.CancelCauseFunc) {
	for received := 0; ; received++ {
		select {
		case <-quit:
			return
		case s := <-signals:
			if received == 0 {
				o.log.Info("lifecycle: signal received, draining; a second one exits at once", "signal", s.String())
				cancel(&SignalError{Signal: s})
				continue
			}
			code := exitCode(s)
			o.log.Error("lifecycle: second signal, exiting without waiting for the drain", "signal", s.String(), "exit_code", fmt.Sprint(code))
			o.exit(code)
			return
		}
	}
}

func exitCode(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return 1
}
