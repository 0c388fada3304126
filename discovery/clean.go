package discovery

import (
	"errors"
	"fmt"
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
	drops   []drop
}

// clean turns a registry's update into an answer: what is invalid or belongs to another service is left out, of several entries with one
// ID or one address the one that started last is kept, and the rest is put in order.
func clean(service string, u Update) answer {
	var a answer
	for _, err := range u.Invalid {
		a.drops = append(a.drops, drop{dropUnreadable, err})
	}
	good := make([]Instance, 0, len(u.Instances))
	for _, in := range u.Instances {
		err := in.Validate()
		if err == nil && in.Service != service {
			err = fmt.Errorf("service: is %q and not %q", in.Service, service)
		}
		if err != nil {
			a.drops = append(a.drops, drop{dropInvalid, fmt.Errorf("entry %q: %w", in.ID, err)})
			continue
		}
		good = append(good, in)
	}
	// Latest first, so that the first of several wins; the rest of the order only makes it the same every time.
	slices.SortStableFunc(good, func(x, y Instance) int {
		if c := y.StartTime.Compare(x.StartTime); c != 0 {
			return c
		}
		return compareEntries(entry{inst: x.attributes()}, entry{inst: y.attributes()})
	})
	entries := make([]entry, 0, len(good))
	for _, in := range good {
		entries = append(entries, newEntry(in.attributes(), resolver.Endpoint{Addresses: []resolver.Address{{Addr: in.Address}}}))
	}
	a.add(entries)
	return a
}

// add takes over the entries without duplicates, in order.
func (a *answer) add(entries []entry) {
	ids, addrs := make(map[string]bool, len(entries)), make(map[string]bool, len(entries))
	a.entries = make([]entry, 0, len(entries))
	for _, e := range entries {
		if ids[e.inst.ID] || addrs[e.inst.Address] {
			a.drops = append(a.drops, drop{dropDuplicate, fmt.Errorf("entry %s: its ID or address is there twice", e.inst)})
			continue
		}
		ids[e.inst.ID], addrs[e.inst.Address] = true, true
		a.entries = append(a.entries, e)
	}
	slices.SortFunc(a.entries, compareEntries)
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
