package check

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

// user is the state of one key: a register that is compared by etag, and a flag.
type user struct {
	exists, deleted bool
	token           string
	etag            string // empty: not known, after a write without an answer
}

// input is what a call asks of one key.
type input struct {
	kind          history.Kind
	token, ifEtag string
}

// output is what it was answered.
type output struct {
	open bool // no answer: it may have happened, at any time since, or not
	code codes.Code
	seen history.State
}

// Linearizable checks that for each key there is one order of all its calls,
// each at some moment between its begin and its end, in which every answer is
// right. A write whose outcome nobody knows may have happened at any time after
// its begin, or never. If no order is found or excluded within the limit, the
// verdict is UNKNOWN, which does not hold. The limit is that of one key, and of all
// keys together once more for every 50,000 calls.
func Linearizable(calls []*history.Call, limit time.Duration) Verdict {
	v := begin("linearizable per key")
	byKey := operations(calls)
	total := 0
	for _, ops := range byKey {
		total += len(ops)
	}
	deadline := time.Now().Add(limit * time.Duration(1+total/50_000))
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		ops := byKey[key]
		left := time.Until(deadline)
		if left <= 0 {
			v.fault("%s: UNKNOWN: the time for checking is over", key)
			continue
		}
		switch porcupine.CheckOperationsTimeout(model(), ops, min(left, limit)) {
		case porcupine.Ok:
		case porcupine.Unknown:
			v.fault("%s: UNKNOWN: no order of its %d calls was found or excluded within %s", key, len(ops), limit)
		default:
			v.fault("%s: no order of its %d calls explains their answers: %s", key, len(ops), describe(ops))
		}
	}
	return v.end("%d calls of %d keys", total, len(byKey))
}

// operations sorts the calls by key. An answer about many users is one read of
// each.
func operations(calls []*history.Call) map[string][]porcupine.Operation {
	byKey := map[string][]porcupine.Operation{}
	add := func(key string, c *history.Call, in input, out output) {
		end := int64(c.Known())
		if out.open {
			end = math.MaxInt64
		}
		byKey[key] = append(byKey[key], porcupine.Operation{Input: in, Output: out, Call: int64(c.Start), Return: end})
	}
	for _, c := range calls {
		code, _ := c.Final()
		switch {
		case c.Kind == history.Batch && code == codes.OK:
			for _, s := range c.Seen {
				add(s.Key, c, input{kind: history.Get}, output{seen: s.State})
			}
		case c.Key == "", !c.Kind.Write() && c.Failed():
		case c.Open():
			add(c.Key, c, input{c.Kind, c.Token, c.IfEtag}, output{open: true})
		default:
			out := output{code: code}
			if len(c.Seen) > 0 {
				out.seen = c.Seen[0].State
			}
			add(c.Key, c, input{c.Kind, c.Token, c.IfEtag}, out)
		}
	}
	return byKey
}

func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return user{} },
		Step: func(state, in, out any) (bool, any) {
			return step(state.(user), in.(input), out.(output))
		},
	}
}

// step tells whether an answer is right in a state, and what the state is then.
func step(s user, in input, out output) (bool, user) {
	if out.open {
		return true, attempt(s, in)
	}
	if out.code == codes.Aborted {
		return s.exists && in.ifEtag != "" && s.etag != in.ifEtag, s
	}
	switch in.kind {
	case history.Get:
		return read(s, out)
	case history.Create:
		if out.code == codes.AlreadyExists {
			return s.exists, s
		}
		return !s.exists && out.seen.Token == in.token, written(out)
	case history.Update:
		return update(s, in, out)
	case history.Delete:
		if out.code == codes.NotFound {
			return !s.exists || s.deleted, s
		}
		return live(s) && matches(s, in) && out.seen.Token == s.token && out.seen.Deleted, written(out)
	case history.Undelete:
		switch out.code {
		case codes.NotFound:
			return !s.exists, s
		case codes.AlreadyExists:
			return live(s), s
		}
		return s.exists && s.deleted && matches(s, in) && out.seen.Token == s.token && !out.seen.Deleted, written(out)
	default:
		return false, s
	}
}

func read(s user, out output) (bool, user) {
	if out.code == codes.NotFound {
		return !s.exists, s
	}
	same := s.exists && s.token == out.seen.Token && s.deleted == out.seen.Deleted && (s.etag == "" || s.etag == out.seen.Etag)
	s.etag = out.seen.Etag
	return same, s
}

func update(s user, in input, out output) (bool, user) {
	switch out.code {
	case codes.NotFound:
		return !s.exists, s
	case codes.FailedPrecondition:
		return s.exists && s.deleted, s
	}
	return live(s) && matches(s, in) && out.seen.Token == in.token && out.seen.Etag != s.etag, written(out)
}

// attempt is the state after a call without an answer, if it took place here.
// That it took place elsewhere, or not at all, needs no case of its own: it may
// be placed after everything that anybody saw.
func attempt(s user, in input) user {
	switch {
	case in.kind == history.Create && !s.exists:
		return user{exists: true, token: in.token}
	case !s.exists || !matches(s, in):
	case in.kind == history.Update && !s.deleted:
		return user{exists: true, token: in.token}
	case in.kind == history.Delete && !s.deleted:
		return user{exists: true, deleted: true, token: s.token}
	case in.kind == history.Undelete && s.deleted:
		return user{exists: true, token: s.token}
	}
	return s
}

func live(s user) bool { return s.exists && !s.deleted }

func matches(s user, in input) bool {
	return in.ifEtag == "" || s.etag == "" || s.etag == in.ifEtag
}

func written(out output) user {
	return user{exists: true, deleted: out.seen.Deleted, token: out.seen.Token, etag: out.seen.Etag}
}

// describe writes the first calls of a key for people.
func describe(ops []porcupine.Operation) string {
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	text := ""
	for _, op := range ops[:min(len(ops), 40)] {
		in, out := op.Input.(input), op.Output.(output)
		text += fmt.Sprintf("[%s..%s %s %q if %s: ", time.Duration(op.Call), time.Duration(op.Return), in.kind, in.token, in.ifEtag)
		if out.open {
			text += "no answer] "
			continue
		}
		text += fmt.Sprintf("%s %q %s deleted=%t] ", out.code, out.seen.Token, out.seen.Etag, out.seen.Deleted)
	}
	return text
}
