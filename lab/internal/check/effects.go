package check

import "github.com/keelson-dev/keelson/lab/internal/history"

// change names one effect: a user and its etag after it.
type change struct{ key, etag string }

// Effects checks the order of changes that a stream or a table shows against
// what writers were told: every acknowledged write is there exactly once, a
// write without an answer at most once, a refused one not at all, and nothing is
// there that nobody wrote.
func Effects(where string, calls []*history.Call, items []*history.Item, events []history.Event) Verdict {
	v := begin("every acknowledged write exactly once in " + where)
	f := found(events)
	acknowledged := 0
	wrote := map[change]bool{}
	for _, c := range calls {
		switch {
		case !c.Kind.Write():
			continue
		case c.Acknowledged():
			acknowledged++
			f.acknowledged(v, c, wrote)
		case !c.Open() && c.Token != "" && f.tokens[c.Token] > 0:
			code, reason := c.Final()
			v.fault("%s of %s was refused (%s %s) and took effect", c.Kind, c.Key, code, reason)
		}
		f.issue(c)
	}
	for _, item := range items {
		f.issued[item.Token] = true
		stored := item.Acks > item.Failed
		if n := f.tokens[item.Token]; n > 1 || stored && n != 1 {
			v.fault("item %s of an import, acknowledged %d times, is there %d times", item.Key, item.Acks, n)
		}
		if stored {
			acknowledged++
		}
	}
	f.rest(v, where)
	return v.end("%d acknowledged writes, %d changes", acknowledged, len(events))
}

// effects are what a sequence of changes shows, counted.
type effects struct {
	events map[change][]history.Event
	tokens map[string]int // creations and updates by what they wrote
	flips  map[flip]int   // deletions and undeletions
	issued map[string]bool
	asked  map[flip]int // deletions and undeletions that may have happened
}

// flip is the deletion of a user, or the undeletion.
type flip struct {
	key     string
	deleted bool
}

func found(events []history.Event) *effects {
	f := &effects{map[change][]history.Event{}, map[string]int{}, map[flip]int{}, map[string]bool{}, map[flip]int{}}
	deleted := map[string]bool{}
	for _, e := range events {
		ch := change{e.Key, e.Etag}
		f.events[ch] = append(f.events[ch], e)
		if deleted[e.Key] != e.Deleted {
			f.flips[flip{e.Key, e.Deleted}]++
		} else {
			f.tokens[e.Token]++
		}
		deleted[e.Key] = e.Deleted
	}
	return f
}

// acknowledged checks a write that was.
func (f *effects) acknowledged(v *verdict, c *history.Call, wrote map[change]bool) {
	if len(c.Seen) == 0 {
		v.fault("%s of %s was acknowledged without the user", c.Kind, c.Key)
		return
	}
	ch := change{c.Key, c.Seen[0].Etag}
	if wrote[ch] {
		v.fault("two writes of %s were acknowledged with the etag %s", c.Key, ch.etag)
	}
	wrote[ch] = true
	there := f.events[ch]
	if len(there) != 1 {
		v.fault("%s of %s, acknowledged with etag %s at %s, is there %d times", c.Kind, c.Key, ch.etag, c.Known(), len(there))
		return
	}
	if e := there[0]; e.Token != c.Seen[0].Token || e.Deleted != c.Seen[0].Deleted {
		v.fault("%s of %s was acknowledged as %+v and is there as %q (deleted: %t)", c.Kind, c.Key, c.Seen[0].State, e.Token, e.Deleted)
	}
}

// issue notes what a write may have done.
func (f *effects) issue(c *history.Call) {
	switch {
	case c.Token != "":
		f.issued[c.Token] = true
	case c.Acknowledged() || c.Open():
		f.asked[flip{c.Key, c.Kind == history.Delete}]++
	}
}

// rest checks that nothing is there twice, and nothing that nobody wrote.
func (f *effects) rest(v *verdict, where string) {
	for token, n := range f.tokens {
		switch {
		case !f.issued[token]:
			v.fault("%s shows %q, which nobody wrote", where, token)
		case n > 1:
			v.fault("%q took effect %d times", token, n)
		}
	}
	for fl, n := range f.flips {
		if n > f.asked[fl] {
			v.fault("%s is deleted (%t) %d times and was asked to be at most %d times", fl.key, fl.deleted, n, f.asked[fl])
		}
	}
}
