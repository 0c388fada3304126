package discovery

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/target"
)

// entry is one instance on its way from a registry to gRPC.
type entry struct {
	inst target.Instance
	ep   resolver.Endpoint
	// absent is when the registry stopped to name the instance; zero while it does.
	absent time.Time
	// doubted is true for an absent one whose absence its own connections must confirm.
	doubted bool
	// unsure is true for one that is doubted only because the answer was stale: one that is not will tell.
	unsure bool
}

func newEntry(inst target.Instance, ep resolver.Endpoint) entry {
	return entry{inst: inst, ep: target.SetEndpoint(ep, inst)}
}

// held says that the instance is in effect although the registry does not name it.
func (e entry) held() bool { return !e.absent.IsZero() }

func (e entry) equal(o entry) bool { return e.held() == o.held() && e.sameToGRPC(o) }

// sameToGRPC ignores whether an entry is held, which gRPC does not see.
func (e entry) sameToGRPC(o entry) bool {
	// What was taken over from the last answer is the same without looking into it.
	if e.ep.Attributes == o.ep.Attributes && len(e.ep.Addresses) == len(o.ep.Addresses) &&
		(len(e.ep.Addresses) == 0 || &e.ep.Addresses[0] == &o.ep.Addresses[0]) {
		return true
	}
	return e.inst.Equal(o.inst) && e.ep.Attributes.Equal(o.ep.Attributes) &&
		slices.EqualFunc(e.ep.Addresses, o.ep.Addresses, resolver.Address.Equal)
}

func compareEntries(a, b entry) int {
	return cmp.Or(cmp.Compare(a.inst.ID, b.inst.ID), cmp.Compare(a.inst.Address, b.inst.Address))
}

// list is the list in effect for one target and the rules by which it changes; it knows no clock, no registry and no connection. One
// goroutine at a time. The slice is replaced, never changed.
//
// The rules: an answer is in effect at once, except for what it takes away. An instance that it no longer names leaves after a moment, or
// at once when its own connections say that it is gone. An answer that would take away all instances, or half of them or more, or that is
// stale, is doubted: what it would take away stays for the hold time at least, and then until its own connections confirm that it is
// gone. An empty answer takes away nothing, ever.
type list struct {
	hold  time.Duration // of what is doubted
	leave time.Duration // of what is not
	// look tells what the connections to an instance say.
	look    func(target.Instance) evidence
	entries []entry
	// fresh is false while the entries are not an answer of this watch: remembered, cached, or failing their checks. The first answer that
	// is neither empty nor stale replaces those to which no connection is up.
	fresh bool
	// failing is true while the last answer named but instances that fail their checks, and they are in effect.
	failing bool
	// emptied is true while the last answer was empty.
	emptied bool
	// gone is true while, moreover, no connection to any entry is of use.
	gone bool
}

// evidence is what is known of an instance by its own connections.
type evidence int

const (
	evidenceNone evidence = iota // nobody has a connection to it
	evidenceUp                   // some connection is up, and the instance does not ask to be left alone
	evidenceDown                 // no connection is of use
)

// answer takes the registry's answer, sorted and free of duplicates, and reports what became of it. Instances that fail their checks are
// taken when there are no others, and none in effect that is of use.
func (l *list) answer(now time.Time, a answer) decision {
	next, failed := a.entries, l.failing
	l.failing = len(next) == 0 && len(a.failing) > 0 && (l.failing || l.gone || len(l.entries) == 0)
	if l.failing {
		next = a.failing
	}
	if l.emptied = len(next) == 0; l.emptied && l.gone {
		return decisionGone
	}
	l.gone = false
	if !l.fresh && !l.emptied && a.stale == "" && !l.failing {
		l.entries = slices.DeleteFunc(slices.Clone(l.entries), func(e entry) bool { return l.look(e.inst) != evidenceUp })
	}
	merged, doubted := l.merge(now, next, a.stale != "")
	d := l.replace(merged)
	switch {
	case l.failing && !failed:
		return decisionFailing
	case doubted:
		return decisionHeld
	}
	return d
}

// merge adds to the answer what it takes away and what stays for now, and reports whether some of that is doubted.
func (l *list) merge(now time.Time, next []entry, stale bool) (merged []entry, doubted bool) {
	missing := l.missing(next, stale)
	many := 2*len(missing) >= len(l.entries)
	merged = slices.Clone(next)
	for _, e := range missing {
		e.miss(now, many, stale)
		if e.doubted || !l.left(now, e) {
			merged = append(merged, e)
			doubted = doubted || e.doubted
		}
	}
	slices.SortFunc(merged, compareEntries)
	return merged, doubted
}

// miss notes that an answer does not name the instance.
func (e *entry) miss(now time.Time, many, stale bool) {
	if !e.held() {
		e.absent = now
	}
	switch {
	case many:
		e.doubted, e.unsure = true, false
	case stale && !e.doubted:
		e.doubted, e.unsure = true, true
	case !stale && e.unsure:
		e.doubted, e.unsure, e.absent = false, false, now
	}
}

// sure notes that an answer without reservations is the same as the one before: what is absent was not left out because that was stale.
func (l *list) sure(now time.Time) {
	unsure := func(e entry) bool { return e.unsure }
	if !slices.ContainsFunc(l.entries, unsure) {
		return
	}
	l.entries = slices.Clone(l.entries)
	for i := range l.entries {
		if e := &l.entries[i]; e.unsure {
			e.doubted, e.unsure, e.absent = false, false, now
		}
	}
}

// left reports whether an absent instance that is not doubted may go.
func (l *list) left(now time.Time, e entry) bool {
	return now.Sub(e.absent) >= l.leave || l.look(e.inst) != evidenceUp
}

// replace puts a list into effect; an empty one only where there was none before.
func (l *list) replace(next []entry) decision {
	if len(next) == 0 {
		return decisionEmpty
	}
	same := slices.EqualFunc(l.entries, next, entry.equal)
	known := l.fresh || l.failing
	l.entries = next
	if !l.emptied {
		l.fresh = !l.failing
	}
	if same && known {
		return decisionUnchanged
	}
	return decisionAccepted
}

// adopt puts a list into effect that the next answer replaces.
func (l *list) adopt(entries []entry) {
	l.entries, l.fresh = slices.Clone(entries), false
	for i := range l.entries {
		e := &l.entries[i]
		e.absent, e.doubted, e.unsure = time.Time{}, false, false
	}
}

// missing returns the entries in effect that the answer does not name. One whose address now belongs to another ID is not missing but
// replaced, and so is one whose ID now has another address, unless its connections are up or the answer is stale: a server that has just
// started tells for a moment where instances were long ago.
func (l *list) missing(next []entry, stale bool) []entry {
	ids, addrs := make(map[string]struct{}, len(next)), make(map[string]struct{}, len(next))
	for i := range next {
		ids[next[i].inst.ID], addrs[next[i].inst.Address] = struct{}{}, struct{}{}
	}
	var out []entry
	for i := range l.entries {
		e := &l.entries[i]
		if _, ok := addrs[e.inst.Address]; ok {
			continue
		}
		if _, ok := ids[e.inst.ID]; !ok || stale || l.look(e.inst) == evidenceUp {
			out = append(out, *e)
		}
	}
	return out
}

// confirm drops the absent entries whose time is over. While the last answer was empty nothing is dropped; it then reports whether
// everything is gone, and when that is no longer so, that the entries are held.
func (l *list) confirm(now time.Time) decision {
	alive := l.someDoubtedServe()
	var keep []entry
	usable, d := 0, decisionRemoved
	for _, e := range l.entries {
		over := e.held() && !e.doubted && l.left(now, e) || e.doubted && l.confirmed(now, e, alive)
		if !over {
			usable++
		}
		if !over || l.emptied {
			keep = append(keep, e)
		} else if e.doubted {
			d = decisionConfirmed
		}
	}
	switch gone := l.emptied && usable == 0 && len(l.entries) > 0; {
	case gone && !l.gone:
		l.gone = true
		return decisionGone
	case !gone && l.gone:
		l.gone = false
		return decisionHeld
	case len(keep) == len(l.entries) || len(keep) == 0:
		return decisionUnchanged
	}
	l.entries = keep
	return d
}

// someDoubtedServe reports whether connections prove for some doubted instances that the registry is wrong about them.
func (l *list) someDoubtedServe() bool {
	return slices.ContainsFunc(l.entries, func(e entry) bool { return e.doubted && l.look(e.inst) == evidenceUp })
}

// confirmed reports whether a doubted instance is gone. Of those that nobody has a connection to, what is known of the others must do.
func (l *list) confirmed(now time.Time, e entry, othersServe bool) bool {
	if now.Sub(e.absent) < l.hold {
		return false
	}
	switch l.look(e.inst) {
	case evidenceUp:
		return false
	case evidenceNone:
		return !othersServe
	}
	return true
}

// held returns the IDs of what the registry no longer names: what leaves in a moment, and what is doubted.
func (l *list) held() (leaving, doubted []string) {
	for i := range l.entries {
		switch e := &l.entries[i]; {
		case e.doubted:
			doubted = append(doubted, e.inst.ID)
		case e.held():
			leaving = append(leaving, e.inst.ID)
		}
	}
	return leaving, doubted
}

// change says in words what a list has that the one before had not, and the other way around; "" when nothing changed. Both are sorted.
func change(before, after []entry) string {
	var added, left, changed []string
	for len(before)+len(after) > 0 {
		order := 0
		switch {
		case len(before) == 0:
			order = 1
		case len(after) == 0:
			order = -1
		default:
			order = compareEntries(before[0], after[0])
		}
		switch {
		case order > 0:
			added, after = append(added, after[0].inst.ID), after[1:]
		case order < 0:
			left, before = append(left, before[0].inst.ID), before[1:]
		default:
			if !before[0].sameToGRPC(after[0]) {
				changed = append(changed, after[0].inst.ID)
			}
			before, after = before[1:], after[1:]
		}
	}
	return names("; added", added) + names("; left", left) + names("; changed", changed)
}

// names lists some of the IDs.
func names(what string, ids []string) string {
	const most = 5
	switch n := len(ids); {
	case n == 0:
		return ""
	case n > most:
		return fmt.Sprintf("%s %s and %d more", what, strings.Join(ids[:most], ", "), n-most)
	}
	return what + " " + strings.Join(ids, ", ")
}
