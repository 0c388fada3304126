package discovery

import (
	"time"

	"github.com/keelson-dev/keelson/target"
)

// publication is what the connections of a target are told: the list in effect, and why calls must fail if there is nothing usable.
type publication struct {
	entries []entry
	// known is the whole list, of which entries is all or a part.
	known []entry
	// err is what to report; it reaches calls only while nothing is usable.
	err error
}

// publish puts the list into effect for all connections and makes the decision visible. Nobody else writes to w.pub.
func (w *watch) publish(d decision, reason string, err error) {
	name := w.state.Name()
	effective := w.subset.pick(w.list.entries)
	list := make([]target.Entry, len(effective))
	for i := range effective {
		list[i] = target.Entry{Instance: effective[i].inst, Held: effective[i].held()}
	}
	w.state.Apply(list)
	w.decided(d, reason+change(w.pub.known, w.list.entries))
	w.met.instances.WithLabelValues(name).Set(float64(len(effective)))
	w.met.known.WithLabelValues(name).Set(float64(len(w.list.entries)))
	leaving, doubted := w.list.held()
	w.met.held.WithLabelValues(name).Set(float64(len(leaving) + len(doubted)))

	w.mu.Lock()
	defer w.mu.Unlock()
	w.pub = publication{entries: effective, known: w.list.entries, err: err}
	for c := range w.subs {
		c.wake()
	}
}

// decided makes a decision visible.
func (w *watch) decided(d decision, reason string) {
	name := w.state.Name()
	w.state.Decide(target.Decision{Kind: string(d), Reason: reason, Time: time.Now(), LastGood: w.good})
	w.met.decisions.WithLabelValues(name, string(d)).Inc()
	if !w.good.IsZero() {
		w.met.lastGood.WithLabelValues(name).Set(float64(w.good.UnixMilli()) / 1e3)
	}
	w.log.decided(d, reason)
}

// save offers the list in effect to be written, when it is an answer of the registry.
func (w *watch) save(now time.Time) {
	if w.saver == nil || !w.list.fresh {
		return
	}
	list := make([]target.Instance, len(w.list.entries))
	for i := range w.list.entries {
		list[i] = w.list.entries[i].inst
	}
	w.saver.offer(list)
	w.saved = now
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
