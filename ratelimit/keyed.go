package ratelimit

import (
	"errors"
	"strconv"
	"time"

	"google.golang.org/grpc/metadata"
)

// Quota is how many calls a bucket admits.
type Quota struct {
	// Rate is how many tokens per second it gets; above zero. Less than 1e-6, one in
	// eleven days, counts as that.
	Rate float64
	// Burst is how many it holds; zero: as many as it gets in a second, at least 1.
	Burst int
}

// Normal returns the quota with its burst.
func (q Quota) Normal() Quota {
	s := size{q.Rate, q.Burst}.normal()
	return Quota{s.rate, s.burst}
}

// Share returns what one of n gets of the quota, one call at least.
func (q Quota) Share(n int) Quota {
	q = q.Normal()
	n = max(n, 1)
	return Quota{Rate: q.Rate / float64(n), Burst: max(q.Burst/n, 1)}
}

// Taken is what a bucket said.
type Taken struct {
	// OK tells that the call is admitted.
	OK bool
	// Remaining is how many calls would be admitted now.
	Remaining int
	// Wait is when there will be a token; zero for a call that is admitted.
	Wait time.Duration
	// Full is when the bucket will be full.
	Full time.Duration
}

// Keyed holds one bucket for each key, of callers that are known by more than a
// method and a caller's name, as those of a gateway are. It is safe for concurrent
// use, starts no goroutine and needs no end.
type Keyed struct{ callers callers }

// NewKeyed returns a Keyed with so many buckets at most; zero: 10,000, about 250
// bytes each. When there are more keys, the bucket that was idle for longest goes.
// It returns an error for a negative number.
func NewKeyed(most int) (*Keyed, error) {
	if most < 0 {
		return nil, errors.New("the number of buckets is negative; set how many are kept, or 0 for " + strconv.Itoa(DefaultMaxCallers))
	}
	if most == 0 {
		most = DefaultMaxCallers
	}
	k := &Keyed{}
	k.callers.init(most)
	return k, nil
}

// Take takes a token from the bucket of a key, whose size is q.
func (k *Keyed) Take(name string, q Quota, now time.Time) Taken {
	s := size{q.Rate, q.Burst}.normal()
	b := k.callers.find(key{name: name}, s, now)
	wait, ok := b.take(s, now)
	tokens := b.limiter.TokensAt(now)
	return Taken{
		OK: ok, Wait: wait, Remaining: max(int(tokens), 0),
		Full: s.after(max(float64(s.burst)-tokens, 0)),
	}
}

// Len returns how many buckets are kept now.
func (k *Keyed) Len() int { return k.callers.len() }

// The trailers, and on HTTP the headers, that tell a client its quota, as
// structured fields (RFC 9651) of draft-ietf-httpapi-ratelimit-headers-10.
const (
	// PolicyKey names the quota: how many calls (q) in how many seconds (w).
	PolicyKey = "ratelimit-policy"
	// LimitKey says how many calls are left (r), and in how many seconds all of
	// them will be (t).
	LimitKey = "ratelimit"
)

// Tell returns the trailers that tell a client its quota and what is left of it.
// The name is that of the quota: letters, digits, '-' and '_'.
func Tell(name string, q Quota, t Taken) metadata.MD {
	s := size{q.Rate, q.Burst}.normal()
	item := strconv.AppendQuote(make([]byte, 0, len(name)+24), name)
	policy := strconv.AppendInt(append(item, ";q="...), int64(s.burst), 10)
	policy = strconv.AppendInt(append(policy, ";w="...), wholeSeconds(s.after(float64(s.burst))), 10)
	pairs := metadata.MD{PolicyKey: {string(policy)}}
	limit := strconv.AppendInt(append(policy[:len(item)], ";r="...), int64(t.Remaining), 10)
	limit = strconv.AppendInt(append(limit, ";t="...), wholeSeconds(t.Full), 10)
	pairs[LimitKey] = []string{string(limit)}
	return pairs
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
