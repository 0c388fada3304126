package check

import "github.com/keelson-dev/keelson/lab/internal/history"

// Stream checks what one consumer saw over all its resumptions: no change twice,
// and each user's versions one after the other from its creation.
func Stream(s *history.Stream) Verdict {
	v := begin("no gap, repetition or disorder in " + s.Name)
	for _, f := range s.Faults() {
		v.fault("%s", f)
	}
	sequence(v, s.Name, s.Events())
	return v.end("%d changes, resumed %d times", len(s.Events()), len(s.Breaks()))
}

// Versions is [Stream] for a table.
func Versions(where string, events []history.Event) Verdict {
	v := begin("no gap, repetition or disorder in " + where)
	sequence(v, where, events)
	return v.end("%d changes", len(events))
}

func sequence(v *verdict, where string, events []history.Event) {
	seen := map[change]bool{}
	version := map[string]int64{}
	for _, e := range events {
		ch := change{e.Key, e.Etag}
		if seen[ch] {
			v.fault("%s shows %s %s again at %s", where, e.Key, e.Etag, e.At)
			continue
		}
		seen[ch] = true
		if n := e.Version(); n != version[e.Key]+1 {
			v.fault("%s shows version %d of %s after version %d", where, n, e.Key, version[e.Key])
		}
		version[e.Key] = e.Version()
	}
}

// SameOrder checks that two consumers saw the same changes in the same order.
func SameOrder(nameA string, a []history.Event, nameB string, b []history.Event) Verdict {
	v := begin("one order in " + nameA + " and " + nameB)
	for i := range min(len(a), len(b)) {
		if a[i].Key != b[i].Key || a[i].Etag != b[i].Etag {
			v.fault("change %d is %s %s in %s, and %s %s in %s", i, a[i].Key, a[i].Etag, nameA, b[i].Key, b[i].Etag, nameB)
			break
		}
	}
	if len(a) != len(b) {
		v.fault("%s has %d changes, %s has %d", nameA, len(a), nameB, len(b))
	}
	return v.end("%d changes", len(a))
}

// Causal checks that a change whose writer had its answer before another write
// began comes before that one.
func Causal(where string, calls []*history.Call, events []history.Event) Verdict {
	v := begin("causes come first in " + where)
	byChange := map[change]*history.Call{}
	for _, c := range calls {
		if c.Acknowledged() && len(c.Seen) > 0 {
			byChange[change{c.Key, c.Seen[0].Etag}] = c
		}
	}
	var latest *history.Call // of those before, the one that began last
	known := 0
	for _, e := range events {
		c := byChange[change{e.Key, e.Etag}]
		if c == nil {
			continue
		}
		known++
		if latest != nil && c.Known() < latest.Start {
			v.fault("%s of %s was acknowledged at %s, before %s of %s began at %s, and comes after it", c.Kind, c.Key, c.Known(), latest.Kind, latest.Key, latest.Start)
		}
		if latest == nil || c.Start > latest.Start {
			latest = c
		}
	}
	return v.end("%d changes", known)
}

// Final checks that two ways of reading all users show the same.
func Final(nameA string, a map[string]history.State, nameB string, b map[string]history.State) Verdict {
	v := begin("the same users by " + nameA + " and " + nameB)
	for key, s := range a {
		if other, ok := b[key]; !ok {
			v.fault("%s is missing in %s", key, nameB)
		} else if other != s {
			v.fault("%s is %+v in %s, and %+v in %s", key, s, nameA, other, nameB)
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			v.fault("%s is missing in %s", key, nameA)
		}
	}
	return v.end("%d users", len(a))
}

// Replayed checks that playing the changes one after the other gives the users
// as they are.
func Replayed(where string, events []history.Event, users map[string]history.State) Verdict {
	v := begin("the changes of " + where + " lead to the users as they are")
	last := map[string]history.Event{}
	for _, e := range events {
		last[e.Key] = e
	}
	for key, s := range users {
		if e, ok := last[key]; !ok || e.Etag != s.Etag || e.Token != s.Token {
			v.fault("%s is %s %q, and its last change in %s is %s %q", key, s.Etag, s.Token, where, e.Etag, e.Token)
		}
	}
	for key := range last {
		if _, ok := users[key]; !ok {
			v.fault("%s has changes in %s and is not there", key, where)
		}
	}
	return v.end("%d users", len(users))
}
