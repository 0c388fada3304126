package discovery

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/target"
)

// entry is one instance on its way from a registry to gRPC.
type entry struct {
	inst target.Instance
	ep   resolver.Endpoint
	// heldSince is when the registry stopped to name the instance; zero while it does.
	heldSince time.Time
}

func newEntry(inst target.Instance, ep resolver.Endpoint) entry {
	return entry{inst: inst, ep: target.SetEndpoint(ep, inst)}
}

func (e entry) held() bool { return !e.heldSince.IsZero() }

func (e entry) equal(o entry) bool {
	return e.inst.Equal(o.inst) && e.held() == o.held() && e.ep.Attributes.Equal(o.ep.Attributes) &&
		slices.EqualFunc(e.ep.Addresses, o.ep.Addresses, resolver.Address.Equal)
}

func compareEntries(a, b entry) int {
	return cmp.Or(cmp.Compare(a.inst.ID, b.inst.ID), cmp.Compare(a.inst.Address, b.inst.Address))
}

// list is the list in effect for one target and the rules by which it changes; it knows no clock, no registry and no connection. One
// goroutine at a time. The slice is replaced, never changed.
//
// The rules: an answer is put into effect at once, except that it never takes away all instances, nor half of them or more at once.
// Those it would take away are held: they stay in effect for the hold time at least, and then until their own connections confirm that
// they are gone. Instances that an answer adds are in effect at once. An empty answer takes away nothing, ever.
type list struct {
	hold    time.Duration
	entries []entry
	// fresh is false while the entries are remembered from before this watch began: the first answer that is not empty replaces them.
	fresh bool
	// emptied is true while the last answer was empty.
	emptied bool
}

// answer takes the registry's answer, sorted and free of duplicates, and reports what became of it.
func (l *list) answer(now time.Time, next []entry) decision {
	l.emptied = len(next) == 0
	if len(l.entries) == 0 || !l.fresh && len(next) > 0 {
		return l.replace(next)
	}
	missing := l.missing(next)
	suspicious := 2*len(missing) >= len(l.entries)
	merged := slices.Clone(next)
	kept := 0
	for _, e := range missing {
		if !suspicious && !e.held() {
			continue
		}
		if !e.held() {
			e.heldSince = now
		}
		merged = append(merged, e)
		kept++
	}
	slices.SortFunc(merged, compareEntries)
	d := l.replace(merged)
	if kept > 0 {
		return decisionHeld
	}
	return d
}

// replace puts a list into effect; an empty one only where there was none before.
func (l *list) replace(next []entry) decision {
	if len(next) == 0 {
		return decisionEmpty
	}
	same := slices.EqualFunc(l.entries, next, entry.equal)
	wasFresh := l.fresh
	l.entries, l.fresh = next, true
	if same && wasFresh {
		return decisionUnchanged
	}
	return decisionAccepted
}

// missing returns the entries in effect that the answer does not name. One whose ID or address now belongs to another entry is not
// missing but replaced.
func (l *list) missing(next []entry) []entry {
	ids, addrs := make(map[string]bool, len(next)), make(map[string]bool, len(next))
	for _, e := range next {
		ids[e.inst.ID], addrs[e.inst.Address] = true, true
	}
	var out []entry
	for _, e := range l.entries {
		if !ids[e.inst.ID] && !addrs[e.inst.Address] {
			out = append(out, e)
		}
	}
	return out
}

// confirm drops the held entries whose time is over and that are gone. While the last answer was empty nothing is dropped; it then
// reports whether everything is gone.
func (l *list) confirm(now time.Time, gone func(target.Instance) bool) decision {
	var keep []entry
	usable := 0
	for _, e := range l.entries {
		over := e.held() && now.Sub(e.heldSince) >= l.hold && gone(e.inst)
		if !over {
			usable++
		}
		if !over || l.emptied {
			keep = append(keep, e)
		}
	}
	switch {
	case l.emptied && usable == 0 && len(l.entries) > 0:
		return decisionGone
	case len(keep) == len(l.entries) || len(keep) == 0:
		return decisionUnchanged
	}
	l.entries = keep
	return decisionConfirmed
}

// countHeld returns how many entries are held.
func (l *list) countHeld() int {
	n := 0
	for _, e := range l.entries {
		if e.held() {
			n++
		}
	}
	return n
}
