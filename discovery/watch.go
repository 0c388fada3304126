package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/keelson-dev/keelson/target"
)

// confirmEvery is how often held instances are looked at.
const confirmEvery = time.Second

// publication is what the connections of a target are told: the list in effect, and why calls must fail if there is nothing usable.
type publication struct {
	entries []entry
	// err is what to report; it reaches calls only while nothing is usable.
	err error
}

// watch follows one target for all connections of a client to it. It runs two goroutines: one runs the source again and again, the other
// owns the list and decides.
type watch struct {
	src     source
	cfg     Config
	opts    options
	met     resolverMetrics
	state   *target.Target
	list    list          // owned by decide's goroutine
	good    time.Time     // owned by decide's goroutine
	noted   string        // owned by decide's goroutine: what was logged last
	goneErr error         // owned by decide's goroutine: why calls fail while every instance is gone
	events  chan event    // from the source's goroutine to decide's
	cancel  func()        // ends both
	done    chan struct{} // closed when both have ended

	mu   sync.Mutex
	pub  publication
	subs map[*conn]struct{}
	refs int // guarded by the builder's lock
}

// event is an answer or an error of the source.
type event struct {
	answer answer
	err    error
}

func (w *watch) start(remembered []entry) {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.done, w.events = cancel, make(chan struct{}), make(chan event)
	w.list.hold = w.cfg.Hold
	for _, e := range remembered {
		e.heldSince = time.Time{}
		w.list.entries = append(w.list.entries, e)
	}
	if len(remembered) > 0 {
		w.publish(decisionRemembered, "the registry has not answered yet", nil)
	}
	go func() {
		defer close(w.done)
		var wg sync.WaitGroup
		wg.Go(func() { w.follow(ctx) })
		w.decide(ctx)
		wg.Wait()
	}()
}

// stop ends the watch and waits for its goroutines.
func (w *watch) stop() {
	w.cancel()
	<-w.done
}

// follow runs the source until ctx ends. The pauses grow also between runs that answer and then fail: only one that lasted proves that
// the registry is well.
func (w *watch) follow(ctx context.Context) {
	b := backoff{min: w.cfg.MinBackoff, max: w.cfg.MaxBackoff}
	for {
		start := time.Now()
		err := w.src.run(ctx, func(a answer) { w.send(ctx, event{answer: a}) })
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("watch ended without an error")
		}
		if time.Since(start) > w.cfg.MaxBackoff {
			b.reset()
		}
		w.send(ctx, event{err: err})
		if !pause(ctx, b.next()) {
			return
		}
	}
}

func (w *watch) send(ctx context.Context, e event) {
	select {
	case w.events <- e:
	case <-ctx.Done():
	}
}

// decide takes events until ctx ends.
func (w *watch) decide(ctx context.Context) {
	confirm := time.NewTicker(confirmEvery)
	defer confirm.Stop()
	for {
		var tick <-chan time.Time
		if w.list.countHeld() > 0 {
			tick = confirm.C
		}
		select {
		case <-ctx.Done():
			return
		case e := <-w.events:
			if e.err != nil {
				w.failed(e.err)
			} else {
				w.answered(e.answer)
			}
		case <-tick:
			w.confirm()
		}
	}
}

func (w *watch) answered(a answer) {
	for _, d := range a.drops {
		w.met.dropped.WithLabelValues(w.state.Name(), d.reason).Inc()
	}
	if len(a.drops) > 0 {
		w.opts.log.Warn("registry entries left out", "target", w.state.Name(), "dropped", len(a.drops), "error", a.reason())
	}
	d := w.list.answer(time.Now(), a.entries)
	var err error
	if d == decisionEmpty {
		err = fmt.Errorf("no instance of %s is registered", w.src.name())
		if len(a.drops) > 0 {
			err = fmt.Errorf("no usable instance of %s: %w", w.src.name(), a.reason())
		}
	}
	if len(a.entries) > 0 {
		w.good, w.goneErr = time.Now(), nil
	} else if err == nil {
		err = w.goneErr
	}
	w.publish(d, w.describe(len(a.entries), err), err)
}

func (w *watch) describe(answered int, err error) string {
	if err != nil {
		return err.Error()
	}
	s := fmt.Sprintf("%s: %d instances", w.src.name(), answered)
	if n := w.list.countHeld(); n > 0 {
		s = fmt.Sprintf("%s, %d more are kept until their own connections confirm that they are gone", s, n)
	}
	return s
}

func (w *watch) failed(err error) {
	err = fmt.Errorf("resolve %s: %w", w.src.name(), err)
	if len(w.list.entries) > 0 {
		w.publish(decisionKept, fmt.Sprintf("%d instances kept: %v", len(w.list.entries), err), w.goneErr)
		return
	}
	w.publish(decisionError, err.Error(), err)
}

func (w *watch) confirm() {
	d := w.list.confirm(time.Now(), w.gone)
	switch d {
	case decisionConfirmed:
		w.publish(d, w.describe(len(w.list.entries)-w.list.countHeld(), nil), nil)
	case decisionGone:
		if w.goneErr == nil {
			w.goneErr = fmt.Errorf("no instance of %s is registered, and none of the %d known before has a usable connection",
				w.src.name(), len(w.list.entries))
			w.publish(d, w.goneErr.Error(), w.goneErr)
		}
	}
}

// gone asks whoever knows about the connections.
func (w *watch) gone(in target.Instance) bool {
	if w.opts.confirm != nil {
		return w.opts.confirm(w.state.Name(), in)
	}
	l := w.state.Live(in.Address)
	if l == nil {
		return true
	}
	usable, _ := l.Usable()
	return !usable
}

// publish puts the list into effect for all connections and makes the decision visible.
func (w *watch) publish(d decision, reason string, err error) {
	name := w.state.Name()
	list := make([]target.Entry, 0, len(w.list.entries))
	for _, e := range w.list.entries {
		list = append(list, target.Entry{Instance: e.inst, Held: e.held()})
	}
	w.state.Apply(list)
	w.state.Decide(target.Decision{Kind: string(d), Reason: reason, Time: time.Now(), LastGood: w.good})
	w.met.decisions.WithLabelValues(name, string(d)).Inc()
	w.met.instances.WithLabelValues(name).Set(float64(len(list)))
	w.met.held.WithLabelValues(name).Set(float64(w.list.countHeld()))
	if !w.good.IsZero() {
		w.met.lastGood.WithLabelValues(name).Set(float64(w.good.UnixMilli()) / 1e3)
	}
	w.note(d, reason)

	w.mu.Lock()
	defer w.mu.Unlock()
	w.pub = publication{entries: w.list.entries, err: err}
	for c := range w.subs {
		c.wake()
	}
}

// note logs a decision; the same one for the same reason is logged once.
func (w *watch) note(d decision, reason string) {
	line := string(d) + reason
	if d == decisionUnchanged || line == w.noted {
		return
	}
	w.noted = line
	log := w.opts.log.With("target", w.state.Name(), "decision", string(d), "reason", reason)
	switch d {
	case decisionAccepted, decisionConfirmed, decisionRemembered:
		log.Info("resolver decided")
	default:
		log.Warn("resolver decided")
	}
}

func (w *watch) published() publication {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pub
}

func (w *watch) subscribe(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subs[c] = struct{}{}
	c.wake()
}

func (w *watch) unsubscribe(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.subs, c)
}
