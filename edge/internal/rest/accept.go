package rest

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// Media types of what the router reads and writes.
const (
	typeJSON    = "application/json"
	typeProblem = "application/problem+json"
	typeEvents  = "text/event-stream"
	typeNDJSON  = "application/x-ndjson"
	typeJSONL   = "application/jsonl"
)

// accept is a parsed header Accept (RFC 9110, 12.5.1). An empty one takes
// everything.
type accept []mediaRange

type mediaRange struct {
	typ, subtype string // "*" for any
	q            float64
}

// parseAccept parses all Accept headers of a request. A part that does not parse
// is left out, as if it were not there.
func parseAccept(h http.Header) accept {
	var a accept
	for _, line := range h["Accept"] {
		for part := range splitList(line) {
			if r, ok := parseRange(part); ok {
				a = append(a, r)
			}
		}
	}
	return a
}

func parseRange(part string) (mediaRange, bool) {
	full, params, err := mime.ParseMediaType(part)
	if err != nil {
		return mediaRange{}, false
	}
	typ, subtype, ok := strings.Cut(full, "/")
	if !ok || typ == "" || subtype == "" || typ == "*" && subtype != "*" {
		return mediaRange{}, false
	}
	r := mediaRange{typ, subtype, 1}
	if q, set := params["q"]; set {
		if r.q, err = strconv.ParseFloat(q, 64); err != nil || !(r.q >= 0 && r.q <= 1) {
			return mediaRange{}, false
		}
	}
	return r, true
}

// splitList yields the parts of a list with commas between them, outside quotes.
func splitList(line string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		quoted, from := false, 0
		for i := 0; i < len(line); i++ {
			switch c := line[i]; {
			case quoted && c == '\\':
				i++
			case c == '"':
				quoted = !quoted
			case c == ',' && !quoted:
				if part := strings.TrimSpace(line[from:i]); part != "" && !yield(part) {
					return
				}
				from = i + 1
			}
		}
		if part := strings.TrimSpace(line[from:]); part != "" {
			yield(part)
		}
	}
}

// quality returns how much a type is wanted: that of the range that names it
// most exactly. named tells whether one names it without "*".
func (a accept) quality(mediaType string) (q float64, named bool) {
	if len(a) == 0 {
		return 1, false
	}
	typ, subtype, _ := strings.Cut(mediaType, "/")
	exact := 0
	for _, r := range a {
		level := 0
		switch {
		case r.typ == typ && r.subtype == subtype:
			level = 3
		case r.typ == typ && r.subtype == "*":
			level = 2
		case r.typ == "*":
			level = 1
		}
		if level > exact || level == exact && level > 0 && r.q > q {
			exact, q = level, r.q
		}
	}
	return q, exact == 3
}

// best returns the offer that is wanted most, the first of equals; "" when none
// is wanted. Who names nothing but problem details says in which form errors are to
// come, and takes what there is otherwise.
func (a accept) best(offers ...string) string {
	if a.problemsAlone() {
		return offers[0]
	}
	best, most := "", 0.0
	for _, o := range offers {
		if q, _ := a.quality(o); q > most {
			best, most = o, q
		}
	}
	return best
}

// problem tells whether errors are to be problem details: whoever names their
// type wants them, unless JSON as it is is wanted more.
func (a accept) problem() bool {
	q, named := a.quality(typeProblem)
	plain, _ := a.quality(typeJSON)
	return named && q > 0 && q >= plain
}

// problemsAlone tells whether problem details are all that is wanted.
func (a accept) problemsAlone() bool {
	for _, r := range a {
		if r.q > 0 && r.typ+"/"+r.subtype != typeProblem {
			return false
		}
	}
	return a.problem()
}

// takesJSON tells whether an answer in JSON is acceptable: as such, or because
// problem details are, which are JSON.
func (a accept) takesJSON() bool {
	if q, _ := a.quality(typeJSON); q > 0 {
		return true
	}
	q, named := a.quality(typeProblem)
	return named && q > 0
}
