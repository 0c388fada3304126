package repository

import (
	"context"
	"time"
)

// RequestTTL is how long a store remembers requests and import items.
const RequestTTL = 24 * time.Hour

// Store keeps users, the requests that changed them and the stream of their
// changes. Both stores (packages sqlite and postgres) and every test model
// obey this contract; repositorytest checks it.
//
//  1. All methods are safe for concurrent use, and by several processes on
//     the same database at once.
//  2. A write is one transaction: the user, its event and the record of its
//     request or import item are stored together or not at all, also when the
//     process is killed. A write that returned without error survives kill -9
//     and, by fsync, a power cut.
//  3. Every method ends soon after its context does, with an error for which
//     errors.Is finds the context's. A write that was canceled has had its
//     whole effect or none.
//  4. A write with a Request is done once within RequestTTL: a second one
//     with the same Scope and ID, on any handle, after any crash, returns the
//     first one's Response with Replayed set and changes nothing. If its
//     Method or Hash differ the error is ErrRequestReused. Of two at the same
//     time one waits for the other. A write that failed is not remembered.
//  5. The callbacks Mutate, Match and Request.Response run inside the
//     transaction and may run more than once: they must be quick, have no
//     effects of their own and not call the store.
//  6. An update that changes no content (SameContent) keeps version and
//     times, and writes no event; its request is remembered all the same.
//  7. E-mail keys are unique among live users. A soft-deleted user does not
//     hold its e-mail: another may take it, and Undelete then fails with an
//     ExistsError for ConflictEmail. A soft-deleted user does hold its ID.
//  8. Events have one order for all readers. Revisions grow by one from 1
//     without gaps. The events of one user are in the order of its versions;
//     an event whose write began after another write had returned comes
//     later than that other's. A reader that has read to revision r never
//     later meets a new event at or before r.
//  9. Transactions that the database gives up are tried again inside a
//     bounded number of times, then the error is ErrAborted. Databases that
//     are away, full or read-only are ErrUnavailable. Domain errors are the
//     ones of this package, never a driver's.
//  10. The caller closes the store after its last use; Close waits for what
//     the store started. Migrate comes before every other method but Ping.
type Store interface {
	Users
	Changes

	// Migrate brings the schema to this program's version. Several processes
	// may call it at once: one works, the others wait for it within ctx.
	Migrate(ctx context.Context) error
	// Ping reports whether the database answers.
	Ping(ctx context.Context) error
	// Purge does one bounded round of clean-up if this caller holds, or can
	// take, the lease.
	Purge(ctx context.Context, p PurgeRound) (PurgeResult, error)
	// Close ends Wait with an ErrUnavailable, waits for other calls that have
	// begun, and releases everything. Calls after it end with an
	// ErrUnavailable.
	Close() error
}

// Users are the operations on users themselves. See Store for the contract.
type Users interface {
	// Create stores a new user from ID and content (State defaults to
	// StateActive) and gives it UID, Version 1 and times. Errors: ExistsError,
	// InvalidError.
	Create(ctx context.Context, u User, w Write) (Result, error)
	// Get returns a user, also a soft-deleted one. Error: NotFoundError.
	Get(ctx context.Context, id string) (User, error)
	// BatchGet returns users from one snapshot in the order of ids, also
	// soft-deleted ones, or the NotFoundError of the first that is missing.
	BatchGet(ctx context.Context, ids []string) ([]User, error)
	// Update lets mutate change the content of a live user. ID, UID, Version,
	// State and times are the store's: what mutate does to them is ignored.
	// An error of mutate ends the update and is returned as it is. When the
	// user does not exist and insert is not nil, insert is created instead
	// (AIP-134 allow_missing) and Result.Created is true. Errors:
	// NotFoundError, DeletedError, VersionError, ExistsError.
	Update(ctx context.Context, id string, mutate func(*User) error, insert *User, w Write) (Result, error)
	// Delete soft-deletes a live user, which may be purged once ttl has
	// passed. Errors: NotFoundError, DeletedError (already deleted),
	// VersionError.
	Delete(ctx context.Context, id string, ttl time.Duration, w Write) (Result, error)
	// Undelete brings a soft-deleted user back. Errors: NotFoundError,
	// ErrNotDeleted, VersionError, ExistsError (the e-mail was taken since).
	Undelete(ctx context.Context, id string, w Write) (Result, error)
	// SetState changes the state of a live user; the state it has already
	// changes nothing. Errors: NotFoundError, DeletedError, VersionError.
	SetState(ctx context.Context, id string, s State, w Write) (Result, error)
	// List returns one page of users. Its cost does not depend on how many
	// pages came before. Error: InvalidError.
	List(ctx context.Context, q Query) (Page, error)
	// Import stores the items of one batch in one transaction. Items recorded
	// before are answered from their record; items that cannot be stored are
	// answered one by one and do not disturb the rest. The results are in the
	// order of the items. A sequence must not occur twice in a batch.
	Import(ctx context.Context, b ImportBatch) ([]ImportResult, error)
}

// Changes is the stream of changes. See Store, number 8, for its order.
type Changes interface {
	// Head returns where the stream stands. Nothing after Head.Revision has
	// been read by anyone yet.
	Head(ctx context.Context) (Head, error)
	// Events returns at most limit events after the revision, oldest first;
	// none when there is nothing newer. Error: CompactedError.
	Events(ctx context.Context, after int64, limit int) ([]Event, error)
	// Wait returns the head as soon as its revision is greater than after.
	// It sees changes of this process at once and those of others within
	// 100 ms, usually sooner. One waiting goroutine per process should feed
	// all watchers; more are correct but cost a database connection each.
	Wait(ctx context.Context, after int64) (Head, error)
}

// Write holds what every write may ask for. The zero value asks for nothing.
type Write struct {
	// Match, if set, is given the stored user and decides whether the write
	// may go on (an etag comparison); if not the error is a VersionError.
	// Create, and an Update that inserts, do not call it.
	Match func(*User) bool
	// Request, if set, makes the write idempotent.
	Request *Request
	// AllowMissing lets Delete succeed when there is nothing to delete: it
	// changes nothing, and Result.User is the user who is deleted already, or
	// one with nothing but the ID. The request is remembered like any other.
	AllowMissing bool
	// DryRun does all checks and returns what the write would, but changes
	// nothing and remembers no request (AIP-163 validate_only).
	DryRun bool
}

// Request identifies a request so that it has its effect once.
type Request struct {
	// ID is the caller's request ID.
	ID string
	// Scope separates callers: the same ID in two scopes is two requests.
	Scope string
	// Method is the full method name.
	Method string
	// Hash is a digest of the request without its ID, at most 64 bytes.
	Hash []byte
	// Response makes the bytes to be remembered and returned in
	// Result.Response. Nil remembers none.
	Response func(Result) ([]byte, error)
}

// Result is what a write did.
type Result struct {
	// User is the user after the write. It is the zero User when Replayed.
	User User
	// Created says that an Update inserted the user.
	Created bool
	// Changed is false when the write found nothing to change.
	Changed bool
	// Replayed says that the request had been done before; only Response is
	// set then.
	Replayed bool
	// Response is what Request.Response made, now or the first time.
	Response []byte
}

// Order is one part of a sort order.
type Order struct {
	// Field is FieldID, FieldEmailKey, FieldDisplayName, FieldCreateTime or
	// FieldUpdateTime.
	Field Field
	// Desc sorts downwards.
	Desc bool
}

// Query asks for one page.
type Query struct {
	// Filter selects users; nil selects all.
	Filter Filter
	// Order sorts them; empty is by ID. The ID is always added as the last
	// part, in the direction of the part before it, unless it is there. One
	// part, or parts that all go in the same direction as an index does, cost
	// the page alone; other combinations may sort more.
	Order []Order
	// After is the Page.Next of the page before, unchanged, with the same
	// Filter and Order; nil is the first page.
	After []string
	// Limit is the size of the page, at least 1.
	Limit int
	// ShowDeleted includes soft-deleted users.
	ShowDeleted bool
	// Exact makes Page.Revision exactly the revision of the page's snapshot,
	// instead of at or before it, at the price of waiting for the numbering
	// of events.
	Exact bool
}

// Page is one page of a list.
type Page struct {
	// Users are in the order that was asked for.
	Users []User
	// Next is the position after the page, one value for each part of the
	// order with the ID; nil when there is nothing after this page.
	Next []string
	// Revision is where to watch from so that nothing is missed: every change
	// that this page does not show yet has an event after it. Without
	// Query.Exact some events after it may be shown by the page already: a
	// consumer knows them by User.UID and User.Version, which are not newer
	// than what it has. Who reads several pages and then watches goes on from
	// the Revision of the first page; with Query.Exact, order by ID and each
	// page's last ID and Revision at hand, the events to skip are exactly
	// those of users in a page's range at or before that page's Revision.
	Revision int64
}

// ImportBatch is a piece of one import.
type ImportBatch struct {
	// Scope separates callers, as in Request.
	Scope string
	// ID names the import.
	ID string
	// Items are stored in this order.
	Items []ImportItem
}

// ImportItem is one user to create.
type ImportItem struct {
	// Sequence is the item's number within the import; (Scope, ID, Sequence)
	// is its key, remembered for RequestTTL once it is stored.
	Sequence int64
	// User is as for Users.Create.
	User User
	// Hash is a digest of the item, at most 64 bytes; it may be empty. An
	// item that is recorded with another Hash is answered with
	// ErrSequenceReused.
	Hash []byte
}

// ImportResult is the answer to one item.
type ImportResult struct {
	// Sequence is the item's.
	Sequence int64
	// ID and UID are those of the stored user; empty when Err is set.
	ID, UID string
	// Replayed says that the item had been stored before.
	Replayed bool
	// Err is an ExistsError, InvalidError or ErrSequenceReused when the item
	// was not stored.
	// Such items are not recorded: sent again, they are judged again.
	Err error
}

// EventKind says what a change did.
type EventKind uint8

// The kinds of events.
const (
	// EventCreated: the user is new.
	EventCreated EventKind = 1
	// EventUpdated: content or state changed.
	EventUpdated EventKind = 2
	// EventDeleted: the user was soft-deleted.
	EventDeleted EventKind = 3
	// EventUndeleted: the user came back.
	EventUndeleted EventKind = 4
	// EventPurged: a soft-deleted user was removed for good. User and Before
	// are its last state. Only those who watch deleted users too care.
	EventPurged EventKind = 5
)

// String returns the name of the kind.
func (k EventKind) String() string {
	switch k {
	case EventCreated:
		return "CREATED"
	case EventUpdated:
		return "UPDATED"
	case EventDeleted:
		return "DELETED"
	case EventUndeleted:
		return "UNDELETED"
	case EventPurged:
		return "PURGED"
	default:
		return "UNSPECIFIED"
	}
}

// Event is one change of one user.
type Event struct {
	// Revision is the event's place in the order.
	Revision int64
	// Kind says what happened.
	Kind EventKind
	// Time is when the change was made, by the clock of the writer.
	Time time.Time
	// User is the user after the change.
	User User
	// Before is the user before the change; nil for EventCreated. With User
	// it tells whether the change made the user enter or leave a filter.
	Before *User
}

// Head is where the stream of changes stands.
type Head struct {
	// Epoch is a random ID made with the schema. A revision means something
	// only together with it: another epoch is another database.
	Epoch string
	// Revision is the newest event's; 0 when there was none.
	Revision int64
	// Compacted is the newest revision that is gone; 0 when all are there.
	// Events can be asked for after it or later.
	Compacted int64
}

// PurgeRound asks for one bounded round of clean-up.
type PurgeRound struct {
	// Owner names the caller among all instances.
	Owner string
	// Lease is how long the caller keeps others out after this round;
	// 0 means one minute.
	Lease time.Duration
	// Batch bounds the rows removed of each kind; 0 means 500.
	Batch int
	// EventAge removes events older than it; 0 keeps them whatever their age.
	EventAge time.Duration
	// EventCount removes the oldest events beyond this number; 0 keeps any
	// number.
	EventCount int64
}

// PurgeResult says what a round did.
type PurgeResult struct {
	// Held is false when another owner holds the lease: nothing was done.
	Held bool
	// Users is the number of soft-deleted users removed.
	Users int
	// Requests is the number of expired request records removed.
	Requests int
	// Imports is the number of expired import records removed.
	Imports int
	// Events is the number of events removed.
	Events int
	// More says that a batch was full: another round would find more.
	More bool
}
