package discovery

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/grpc/resolver"
)

// Reasons for which an entry of an answer is left out; values of the metric label "reason".
const (
	dropUnreadable = "unreadable"
	dropInvalid    = "invalid"
	dropDuplicate  = "duplicate"
)

// drop is one entry that was left out.
type drop struct {
	reason string
	err    error
}

// answer is what a source delivers: entries in order, fit to be put into effect, and what was left out of them.
type answer struct {
	entries []entry
	failing []entry // known, and not to be used unless there is nothing else
	drops   []drop
	// unchanged says that all of the above is as in the answer before, and not here.
	unchanged bool
	stale     string // why the answer may be out of date
}

// cleaner turns a registry's updates into answers. Instances that are the same as in the answer before are taken over with all that was
// made of them, so that in a large list what costs is what changes. One goroutine at a time.
type cleaner struct {
	service string
	known   map[string]taken // by ID
}

// taken is an instance that was accepted, and what was made of it.
type taken struct {
	in Instance
	e  entry
}

// clean leaves out what is invalid or belongs to another service, keeps of several entries with one ID or one address the one that started
// last, and puts the rest in order.
func (c *cleaner) clean(u Update) answer {
	if u.Unchanged {
		return answer{unchanged: true, stale: u.Stale}
	}
	a := answer{stale: u.Stale}
	for _, err := range u.Invalid {
		a.drops = append(a.drops, drop{dropUnreadable, err})
	}
	known := make(map[string]taken, len(u.Instances)+len(u.Failing))
	a.entries = a.distinct(c.accept(&a, u.Instances, known))
	a.failing = a.distinct(c.accept(&a, u.Failing, known))
	c.known = known
	return a
}

// accept returns what is valid, and remembers it in known.
func (c *cleaner) accept(a *answer, list []Instance, known map[string]taken) []taken {
	out := make([]taken, 0, len(list))
	for i := range list {
		in := &list[i]
		t, ok := c.known[in.ID]
		if !ok || !sameInstance(&t.in, in) {
			err := in.Validate()
			if err == nil && in.Service != c.service {
				err = fmt.Errorf("service: is %q and not %q", in.Service, c.service)
			}
			if err != nil {
				a.drops = append(a.drops, drop{dropInvalid, fmt.Errorf("entry %q: %w", in.ID, err)})
				continue
			}
			t = taken{*in, newEntry(in.attributes(), resolver.Endpoint{Addresses: []resolver.Address{{Addr: in.Address}}})}
		}
		known[in.ID] = t
		out = append(out, t)
	}
	return out
}

// sameInstance compares everything that an entry is made of.
func sameInstance(a, b *Instance) bool {
	return a.ID == b.ID && a.Address == b.Address && a.Weight == b.Weight && a.Service == b.Service && a.Version == b.Version && a.Zone == b.Zone &&
		a.StartTime.Equal(b.StartTime) && maps.Equal(a.Meta, b.Meta)
}

// distinct takes over the entries without duplicates, in order.
func (a *answer) distinct(list []taken) []entry {
	// Latest first, so that the first of several wins; the rest of the order only makes it the same every time.
	slices.SortStableFunc(list, func(x, y taken) int {
		if c := y.in.StartTime.Compare(x.in.StartTime); c != 0 {
			return c
		}
		return compareEntries(x.e, y.e)
	})
	entries := make([]entry, len(list))
	for i := range list {
		entries[i] = list[i].e
	}
	return a.unique(entries)
}

// unique returns the entries without duplicates, in order; of several the first one stays.
func (a *answer) unique(entries []entry) []entry {
	ids, addrs := make(map[string]struct{}, len(entries)), make(map[string]struct{}, len(entries))
	out := make([]entry, 0, len(entries))
	for _, e := range entries {
		_, id := ids[e.inst.ID]
		_, addr := addrs[e.inst.Address]
		if id || addr {
			a.drops = append(a.drops, drop{dropDuplicate, fmt.Errorf("entry %s: its ID or address is there twice", e.inst)})
			continue
		}
		ids[e.inst.ID], addrs[e.inst.Address] = struct{}{}, struct{}{}
		out = append(out, e)
	}
	slices.SortFunc(out, compareEntries)
	return out
}

// reason joins what was left out, for a message; long lists are cut.
func (a answer) reason() error {
	const most = 3
	var errs []error
	for i, d := range a.drops {
		if i == most {
			errs = append(errs, fmt.Errorf("and %d more", len(a.drops)-most))
			break
		}
		errs = append(errs, d.err)
	}
	return errors.Join(errs...)
}
