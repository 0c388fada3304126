package discovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/target"
)

// confirmEvery is how often absent instances are looked at.
const confirmEvery = 500 * time.Millisecond

// watch follows one target for all connections of a client to it. It runs two goroutines: one runs the source again and again, the other
// owns the list and decides. With a cache there is a third, which writes.
type watch struct {
	src    source
	cfg    Config
	opts   options
	met    resolverMetrics
	state  *target.Target
	cache  cacheFile
	saver  *saver // nil without a cache
	log    *journal
	events chan event    // from the source's goroutine to decide's
	cancel func()        // ends all
	done   chan struct{} // closed when all have ended

	// Owned by decide's goroutine.
	list    list
	subset  subsetter
	good    time.Time // when the registry last gave a list
	saved   time.Time // when a list was last handed to the saver
	looked  bool      // whether the cache was read
	last    answer    // of the registry
	goneErr error     // why calls fail while every instance is gone

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
	w.list.hold, w.list.leave, w.list.look = w.cfg.Hold, w.cfg.RemovalDelay, w.look
	w.subset.cfg, w.log = w.cfg.Subset, newJournal(w.opts.log, w.state.Name())
	w.state.Decide(target.Decision{Kind: string(decisionWaiting), Reason: w.src.name() + " has not answered yet", Time: time.Now()})
	if len(remembered) > 0 {
		w.list.adopt(remembered)
		w.publish(decisionRemembered, "the registry has not answered yet", nil)
	}
	if w.cache.path != "" {
		w.saver = newSaver(w.cache, w.opts.log, w.met.cache)
	}
	go func() {
		defer close(w.done)
		var wg sync.WaitGroup
		wg.Go(func() { w.follow(ctx) })
		if w.saver != nil {
			wg.Go(func() { w.saver.run(ctx) })
		}
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
	patience := time.NewTimer(w.cfg.CacheWait)
	defer patience.Stop()
	for {
		var tick <-chan time.Time
		if leaving, doubted := w.list.held(); len(leaving)+len(doubted) > 0 {
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
		case <-patience.C:
			if !w.recall("the registry has not answered yet") && w.state.Decision().Kind == string(decisionWaiting) {
				w.decided(decisionWaiting, fmt.Sprintf("%s has not answered within %s", w.src.name(), w.cfg.CacheWait))
			}
		case <-tick:
			w.confirm()
		}
	}
}

func (w *watch) answered(a answer) {
	w.staleness(a.stale)
	if a.unchanged {
		w.again(a.stale)
		return
	}
	for _, d := range a.drops {
		w.met.dropped.WithLabelValues(w.state.Name(), d.reason).Inc()
	}
	w.log.dropped(a)
	if len(a.entries) == 0 {
		w.recall("the registry names no instance")
	}
	w.last = a
	w.take()
}

// take puts the last answer into effect.
func (w *watch) take() {
	now, a := time.Now(), w.last
	d := w.list.answer(now, a)
	if !w.list.emptied {
		w.good, w.goneErr = now, nil
	}
	err := w.nothing(d, a)
	w.publish(d, w.describe(err), err)
	if d != decisionUnchanged {
		w.save(now)
	}
}

// nothing is why calls must fail after an answer, or nil.
func (w *watch) nothing(d decision, a answer) error {
	switch {
	case d == decisionEmpty && len(a.drops) > 0:
		return fmt.Errorf("no usable instance of %s: %w", w.src.name(), a.reason())
	case d == decisionEmpty:
		return fmt.Errorf("no instance of %s is registered", w.src.name())
	}
	return w.goneErr
}

// again notes that the registry has answered, and that nothing has changed.
func (w *watch) again(stale string) {
	now := time.Now()
	if w.last.stale = stale; stale == "" {
		w.list.sure(now)
	}
	if !w.list.emptied {
		w.good = now
		if now.Sub(w.saved) >= saveAgain {
			w.save(now)
		}
	}
	w.decided(decisionUnchanged, w.describe(w.goneErr))
}

func (w *watch) staleness(why string) {
	value := 0.0
	if why != "" {
		value = 1
	}
	w.met.stale.WithLabelValues(w.state.Name()).Set(value)
}

// describe says what the registry answered last, and what became of it.
func (w *watch) describe(err error) string {
	if err != nil {
		return err.Error()
	}
	a, s := w.last, fmt.Sprintf("%s: %d instances", w.src.name(), len(w.last.entries))
	switch {
	case w.list.failing:
		s = fmt.Sprintf("%s: all %d instances fail their checks; they are used, as no others are known", w.src.name(), len(a.failing))
	case len(a.failing) > 0:
		s = fmt.Sprintf("%s, %d that fail their checks", s, len(a.failing))
	}
	if a.stale != "" {
		s = fmt.Sprintf("%s; the answer may be out of date: %s", s, a.stale)
	}
	leaving, doubted := w.list.held()
	return s + names("; about to leave:", leaving) + names("; kept until their own connections confirm that they are gone:", doubted)
}

func (w *watch) failed(err error) {
	err = fmt.Errorf("resolve %s: %w", w.src.name(), err)
	switch {
	case len(w.list.entries) > 0:
		w.publish(decisionKept, fmt.Sprintf("%d instances kept: %v", len(w.list.entries), err), w.goneErr)
	case !w.recall(err.Error()):
		w.publish(decisionError, err.Error(), err)
	}
}

// recall puts the list on disk into effect when there is no other, and reports whether it did. It looks once.
func (w *watch) recall(why string) bool {
	if w.saver == nil || w.looked || len(w.list.entries) > 0 {
		return false
	}
	w.looked = true
	saved, at, err := w.cache.read()
	w.met.cache.WithLabelValues(w.state.Name(), "read", cacheResult(err)).Inc()
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			w.opts.log.Warn("copy of the list not used", "target", w.state.Name(), "error", err)
		}
		return false
	}
	var a answer
	entries := make([]entry, len(saved))
	for i, in := range saved {
		entries[i] = newEntry(in, resolver.Endpoint{Addresses: []resolver.Address{{Addr: in.Address}}})
	}
	w.list.adopt(a.unique(entries))
	w.publish(decisionCached, fmt.Sprintf("%d instances of the list of %s ago on disk: %s",
		len(saved), time.Since(at).Round(time.Second), why), nil)
	return true
}

func (w *watch) confirm() {
	switch d := w.list.confirm(time.Now()); d {
	case decisionConfirmed, decisionRemoved:
		w.publish(d, w.describe(nil), nil)
		w.save(time.Now())
	case decisionHeld: // some are back that were gone
		w.goneErr = nil
		w.publish(d, w.describe(nil), nil)
	case decisionGone:
		if len(w.last.failing) > 0 {
			w.take()
			return
		}
		w.goneErr = fmt.Errorf("no instance of %s is registered, and none of the %d known before has a usable connection",
			w.src.name(), len(w.list.entries))
		w.publish(d, w.goneErr.Error(), w.goneErr)
	}
}

// look asks whoever knows about the connections.
func (w *watch) look(in target.Instance) evidence {
	if w.opts.confirm != nil {
		if w.opts.confirm(w.state.Name(), in) {
			return evidenceDown
		}
		return evidenceUp
	}
	l := w.state.Live(in.Address)
	if l == nil {
		return evidenceNone
	}
	usable, observed := l.Usable()
	switch {
	case usable:
		return evidenceUp
	case observed:
		return evidenceDown
	}
	return evidenceNone
}
