package repository

import (
	"context"
	"time"
)

// Store keeps the history, what is needed to continue it, and how far its
// consumers are. Both stores (packages sqlite and postgres) obey this contract;
// repositorytest checks it.
//
//  1. All methods are safe for concurrent use, and by several processes on the
//     same database at once.
//  2. Every method ends soon after its context does, with an error for which
//     errors.Is finds the context's. A write that was canceled, or whose
//     connection broke, has had its whole effect or none.
//  3. A write that returned without error survives kill -9 and, by fsync, a
//     power cut.
//  4. Positions grow by one from 1 without holes. A reader that has seen a
//     position never later meets a new change at or before it.
//  5. Only one append from one State succeeds, on whatever handle, however late
//     it comes: a recorder that was stopped in the middle of one, and replaced,
//     cannot append when it goes on, and an append whose outcome was not heard
//     can be given up and begun anew from what Acquire tells.
//  6. The caller closes the store after its last use. Migrate comes before
//     every other method but Ping.
type Store interface {
	History
	Ledger
	Consumers

	// Migrate brings the schema to this program's version. Several processes
	// may call it at once: one works, the others wait for it within ctx.
	Migrate(ctx context.Context) error
	// Ping reports whether the database answers.
	Ping(ctx context.Context) error
	// Close waits for calls that have begun, and releases everything.
	Close() error
}

// History is what is read of the history. See Store for the contract.
type History interface {
	// Head returns the position of the newest change; 0 when there is none.
	Head(ctx context.Context) (int64, error)
	// Get returns one change. Error: ErrNotFound.
	Get(ctx context.Context, position int64) (Change, error)
	// List returns changes in the order of their positions.
	List(ctx context.Context, q Query) ([]Change, error)
}

// Query asks for changes.
type Query struct {
	// After is the position behind which to go on: above it, or below it when
	// Desc is set. 0 begins at the end that comes first.
	After int64
	// Desc returns the newest first.
	Desc bool
	// UserID, if not empty, selects the changes of users with this ID.
	UserID string
	// From, if set, selects changes with a ChangeTime at or after it.
	From time.Time
	// To, if set, selects changes with a ChangeTime before it.
	To time.Time
	// Limit is the most changes to return, at least 1.
	Limit int
}

// Ledger is what the one who continues the history works with. See Store for the
// contract.
type Ledger interface {
	// Acquire makes the caller the one recorder for a time, unless another one
	// is: then the error is ErrHeld. It also succeeds for the owner who has the
	// lease already, and in any case ends what earlier leases allowed. A lease
	// that has more than twice d left was given before the clock went back, and
	// is over.
	Acquire(ctx context.Context, owner string, d time.Duration) (Lease, error)
	// Renew makes a lease last for a time from now. Error: ErrFenced.
	Renew(ctx context.Context, fence int64, d time.Duration) error
	// Release ends a lease, so that the next Acquire succeeds at once. It does
	// nothing to a lease that was lost.
	Release(ctx context.Context, fence int64) error
	// Subjects returns those of the users that are known.
	Subjects(ctx context.Context, uids []string) (map[string]Subject, error)
	// Unseen returns at most limit of the users that were last stored before
	// the generation, in the order of their UIDs.
	Unseen(ctx context.Context, generation int64, limit int) ([]Subject, error)
	// Append stores a batch in one transaction, and renews the lease for a
	// time. It returns the State after it. Errors: ErrFenced, ErrRepeated.
	Append(ctx context.Context, b Batch, d time.Duration) (State, error)
}

// Lease permits to append until it is lost.
type Lease struct {
	// Fence is greater than that of every lease before.
	Fence int64
	// State is where the history stands.
	State State
}

// State is where the history stands.
type State struct {
	// Step counts the appends.
	Step int64
	// Position is that of the newest change.
	Position int64
	// Cursor is the user service's revision up to which the history is
	// complete; empty when there is none to go on from.
	Cursor string
	// Syncing says that the users as they are are being compared with those
	// that are known, and that this has not come to its end.
	Syncing bool
	// Generation counts how often that was begun.
	Generation int64
}

// Batch is what one append stores.
type Batch struct {
	// Fence is the lease's.
	Fence int64
	// From is the State that the batch was made for.
	From State
	// Changes are added in this order. Position and RecordTime are the store's;
	// a ChangeTime that is not set becomes the RecordTime.
	Changes []Change
	// Known replaces what is known of these users, and notes that they were
	// stored in this Generation. No UID comes twice.
	Known []Subject
	// Gone are UIDs, none of them in Known, of which nothing is known any more.
	Gone []string
	// Cursor, Syncing and Generation are those of the next State.
	Cursor     string
	Syncing    bool
	Generation int64
}

// Consumers remember how far the history was handed out, by name. See Store for
// the contract.
type Consumers interface {
	// Open returns where a consumer is, and ends what was opened for it before.
	// One that is not known begins after the position. Error, for such a one
	// only: ErrAhead.
	Open(ctx context.Context, name string, after int64) (Consumer, error)
	// Acknowledge notes that a consumer is done with a position and all before
	// it; it never goes back. Error: ErrTakenOver.
	Acknowledge(ctx context.Context, c Consumer) error
	// Check returns ErrTakenOver when the consumer was opened again.
	Check(ctx context.Context, c Consumer) error
}

// Consumer is one consumer as it was opened.
type Consumer struct {
	// Name is the consumer's.
	Name string
	// Session counts how often it was opened.
	Session int64
	// Position is up to where it has acknowledged.
	Position int64
}
