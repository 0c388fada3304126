package health

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// dependency is something that instances share. Health.mu guards its fields.
type dependency struct {
	name    string
	check   func(context.Context) error
	checked bool
	failing bool
	message string
	since   time.Time
	added   time.Time
	well    bool // it was once
	told    bool // that it fails, as a warning
	polled  bool // a goroutine of Run polls it
}

// Run checks the dependencies until ctx ends. It returns nil, and has then
// waited for its goroutines; a check that ignores its context holds it up.
func (h *Health) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		for _, d := range h.unpolled() {
			wg.Go(func() { h.poll(ctx, d) })
		}
		select {
		case <-h.added:
		case <-ctx.Done():
			return nil
		}
	}
}

// unpolled takes over the dependencies that nobody polls yet.
func (h *Health) unpolled() []*dependency {
	h.mu.Lock()
	defer h.mu.Unlock()
	var fresh []*dependency
	for _, d := range h.dependencies {
		if !d.polled {
			d.polled = true
			fresh = append(fresh, d)
		}
	}
	return fresh
}

func (h *Health) poll(ctx context.Context, d *dependency) {
	defer func() {
		h.mu.Lock()
		d.polled = false
		h.mu.Unlock()
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		h.checkOnce(ctx, d)
		wait := h.cfg.Interval
		if h.starting(d) {
			wait /= startPace
		}
		timer.Reset(jitter(wait))
	}
}

// startPace is how much more often a dependency is checked that starts.
const startPace = 10

// starting tells whether a dependency was never well and still has time for it.
func (h *Health) starting(d *dependency) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.startingLocked(d)
}

func (h *Health) startingLocked(d *dependency) bool {
	return !d.well && time.Since(d.added) < h.cfg.Grace
}

// checkOnce runs one check. A check that does not return in time is reported as
// failing while it is still waited for: there is never more than one at a time.
func (h *Health) checkOnce(ctx context.Context, d *dependency) {
	h.mu.Lock()
	check := d.check
	h.mu.Unlock()
	checkCtx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	reported := make(chan struct{})
	stop := context.AfterFunc(checkCtx, func() {
		defer close(reported)
		if ctx.Err() == nil {
			h.report(d, fmt.Errorf("no answer within %s", h.cfg.Timeout))
		}
	})
	err := h.safely(checkCtx, d.name, check)
	late := !stop()
	if late {
		<-reported
	}
	if ctx.Err() != nil || late && err != nil {
		return
	}
	h.report(d, err)
}

// safely turns a panic of a check into an error; the stack goes to the log.
func (h *Health) safely(ctx context.Context, name string, check func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the check panicked: %v", v)
			h.log.Error("health: panic", "dependency", name, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	return check(ctx)
}

// Tell tells the state of a dependency between its checks, as soon as it is
// known: nil when it is well. A name without a dependency is ignored. It is safe
// for concurrent use.
func (h *Health) Tell(name string, err error) {
	h.mu.Lock()
	var found *dependency
	for _, d := range h.dependencies {
		if d.name == name {
			found = d
		}
	}
	h.mu.Unlock()
	if found != nil {
		h.report(found, err)
	}
}

// report keeps the outcome of a check.
func (h *Health) report(d *dependency, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	failing := err != nil
	changed := failing != d.failing || !d.checked
	d.well = d.well || !failing
	if changed {
		d.failing, d.checked, d.since = failing, true, time.Now()
	}
	switch {
	case !failing && changed:
		d.told = false
		h.log.Info("health: dependency ok", "dependency", d.name)
	case failing && !d.told && !h.startingLocked(d):
		d.told = true
		h.log.Warn("health: dependency degraded", "dependency", d.name, "error", err.Error())
	case failing && changed:
		h.log.Info("health: dependency not ready yet", "dependency", d.name, "error", err.Error())
	}
	d.message = ""
	if err != nil {
		d.message = err.Error()
	}
}

// jitter spreads d by 10 % either way, so that instances started together do
// not check together.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}
