package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// task is one goroutine of a Runner.
type task struct {
	kind, name string
	began      time.Time
	done       chan struct{} // closed when it has returned
	err        error         // valid once done is closed
}

func (t *task) String() string { return fmt.Sprintf("%s %q", t.kind, t.name) }

// PanicError is what a step or a worker that panicked ends with.
type PanicError struct {
	// Value is what was passed to panic.
	Value any
	// Stack is the stack of the goroutine at that point.
	Stack []byte
}

// Error shows the value and leaves the stack to the log.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap gives the value when it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// spawn runs f in a goroutine that the Runner keeps account of. r.mu is held.
func (r *Runner) spawn(ctx context.Context, kind, name string, f Func, then func(*task)) *task {
	t := &task{kind: kind, name: name, began: time.Now(), done: make(chan struct{})}
	r.tasks = append(r.tasks, t)
	go func() {
		defer close(t.done)
		t.err = r.protect(ctx, t, f)
		if then != nil {
			then(t)
		}
	}()
	return t
}

var errGoexit = errors.New("the goroutine ended itself (runtime.Goexit)")

// protect calls f and turns a panic, or a goroutine that ended itself, into an
// error.
func (r *Runner) protect(ctx context.Context, t *task, f Func) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		err = errGoexit
		if v := recover(); v != nil {
			p := &PanicError{Value: v, Stack: debug.Stack()}
			r.options.log.Error("lifecycle: panic", "kind", t.kind, "name", t.name, "panic", fmt.Sprint(v), "stack", string(p.Stack))
			err = p
		}
	}()
	err = f(ctx)
	returned = true
	return err
}

// unfinished lists the goroutines that have not returned, in the order they
// began.
func (r *Runner) unfinished() []*task {
	r.mu.Lock()
	defer r.mu.Unlock()
	var left []*task
	for _, t := range r.tasks {
		select {
		case <-t.done:
		default:
			left = append(left, t)
		}
	}
	return left
}

// awaitAll waits until every goroutine has returned, or ctx ends; it gives those
// that have not.
func (r *Runner) awaitAll(ctx context.Context) []*task {
	for _, t := range r.unfinished() {
		select {
		case <-t.done:
		case <-ctx.Done():
			return r.unfinished()
		}
	}
	return r.unfinished()
}
