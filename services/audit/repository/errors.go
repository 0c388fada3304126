package repository

import "errors"

// The errors of a store, for errors.Is. An error of the caller's context is none
// of these: it satisfies errors.Is with context.Canceled or
// context.DeadlineExceeded.
var (
	// ErrNotFound says that the history has no change at the position.
	ErrNotFound = errors.New("change not found")
	// ErrHeld says that another recorder holds the lease.
	ErrHeld = errors.New("another recorder holds the lease")
	// ErrFenced says that the lease was lost, or that the history is not where
	// the caller believes it to be: nothing was stored. The caller acquires
	// again and goes on from what it is told then.
	ErrFenced = errors.New("the lease is lost, or the history has moved")
	// ErrRepeated says that one of the changes is in the history already:
	// nothing was stored.
	ErrRepeated = errors.New("the change is in the history already")
	// ErrAhead says that the history does not reach to the position at which a
	// new consumer was to begin: nothing was stored.
	ErrAhead = errors.New("the history does not reach to the position")
	// ErrTakenOver says that a consumer was opened again elsewhere.
	ErrTakenOver = errors.New("the consumer was opened again elsewhere")
	// ErrUnavailable says that the database cannot be reached or cannot write
	// now. Whether a write took place is not known.
	ErrUnavailable = errors.New("store is unavailable")
)
