// Package history holds what a run of the lab saw: every call with its times on
// one monotonic clock, every message of every stream, and the moments at which
// the fault began and ended. The checkers judge nothing else.
package history

import (
	"time"

	"google.golang.org/grpc/codes"
)

// Kind is what a call does.
type Kind uint8

// The kinds of calls. Those up to Changes are reads.
const (
	Get Kind = iota
	List
	Batch
	Changes
	Create
	Update
	Delete
	Undelete
)

var kindNames = [...]string{"get", "list", "batch", "changes", "create", "update", "delete", "undelete"}

// String returns the kind's name in reports.
func (k Kind) String() string { return kindNames[k] }

// Write tells whether the call changes a user.
func (k Kind) Write() bool { return k >= Create }

// Kinds returns all kinds in the order of reports.
func Kinds() []Kind { return []Kind{Get, List, Batch, Changes, Create, Update, Delete, Undelete} }

// Attempt is one sending of a call: when its headers left, and to which
// instance.
type Attempt struct {
	At      time.Duration
	Address string
}

// State is a user as one answer showed it.
type State struct {
	// Etag changes with each change of the user.
	Etag string
	// Token is the text that the last create or update wrote; no two writes
	// write the same.
	Token string
	// Deleted tells that the user is deleted softly.
	Deleted bool
}

// Seen is a user in an answer.
type Seen struct {
	Key string
	State
}

// Call is one call of the load. Times are since the run's origin.
type Call struct {
	ID   int
	Kind Kind
	// Key is the user's name; empty for calls about many users.
	Key string
	// Intended is when the schedule said that the call begins, Start when it
	// did, End when its outcome was known.
	Intended, Start, End time.Duration
	// Timeout is the deadline that the call had, from Start.
	Timeout time.Duration
	Code    codes.Code
	Reason  string
	// Message is the text of a failure.
	Message string
	// RetryInfo tells that a failure said when to try again.
	RetryInfo bool
	Attempts  []Attempt

	// RequestID makes a write repeatable.
	RequestID string
	// Token is what a create or update writes.
	Token string
	// IfEtag is the etag that a write demands; empty: any.
	IfEtag string
	// Seen are the users in the answer.
	Seen []Seen
	// Settled tells that the outcome was learned by asking again with the same
	// request ID after the load had ended, at SettledAt.
	Settled   bool
	SettledAt time.Duration
	// Answer is the code that settled the call.
	Answer       codes.Code
	AnswerReason string
}

// Latency is how long the caller waited, from the moment at which the schedule
// wanted the call: what a late start hides is part of it.
func (c *Call) Latency() time.Duration { return c.End - c.Intended }

// Failed tells that the caller did not get an answer. An answer that is no, such
// as NOT_FOUND or an etag that does not match, is one; whether it is the right
// one is for the linearizability checker.
func (c *Call) Failed() bool { return !answer(c.Code, c.Reason) }

// Open tells that nobody knows what became of a write, not even afterwards.
func (c *Call) Open() bool {
	if c.Settled {
		return !answer(c.Answer, c.AnswerReason)
	}
	return c.Failed()
}

// Final is the code and reason of the call as finally known.
func (c *Call) Final() (codes.Code, string) {
	if c.Settled {
		return c.Answer, c.AnswerReason
	}
	return c.Code, c.Reason
}

// Acknowledged tells that a write is known to have taken effect.
func (c *Call) Acknowledged() bool {
	code, _ := c.Final()
	return c.Kind.Write() && code == codes.OK
}

// Known is when the final outcome was known.
func (c *Call) Known() time.Duration {
	if c.Settled {
		return c.SettledAt
	}
	return c.End
}

// SentTo tells whether an attempt of the call went to one of the addresses.
func (c *Call) SentTo(addresses map[string]bool) bool {
	for _, a := range c.Attempts {
		if addresses[a.Address] {
			return true
		}
	}
	return false
}

func answer(code codes.Code, reason string) bool {
	switch code {
	case codes.OK, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition:
		return true
	case codes.Aborted:
		return reason == "ETAG_MISMATCH"
	default:
		return false
	}
}
