package repository

import (
	"errors"
	"fmt"
)

// The kinds of errors a store returns, for errors.Is. The types below carry
// the particulars, for errors.As. An error of the caller's context is none of
// these: it satisfies errors.Is with context.Canceled or
// context.DeadlineExceeded.
var (
	// ErrNotFound says that no user has the ID. See NotFoundError.
	ErrNotFound = errors.New("user not found")
	// ErrExists says that the ID or the e-mail is taken. See ExistsError.
	ErrExists = errors.New("user already exists")
	// ErrVersionMismatch says that Write.Match refused the stored user. See
	// VersionError.
	ErrVersionMismatch = errors.New("user has changed since it was read")
	// ErrDeleted says that the user is soft-deleted and the operation wants a
	// live one (Update, Delete, SetState). See DeletedError.
	ErrDeleted = errors.New("user is deleted")
	// ErrNotDeleted says that Undelete was asked for a live user.
	ErrNotDeleted = errors.New("user is not deleted")
	// ErrRequestReused says that a request ID came again with another
	// content or for another method.
	ErrRequestReused = errors.New("request ID was used for another request")
	// ErrSequenceReused says that the sequence of an import item came again
	// with another content.
	ErrSequenceReused = errors.New("sequence was used for another item of the import")
	// ErrCompacted says that the events asked for are gone. See
	// CompactedError.
	ErrCompacted = errors.New("revision is compacted")
	// ErrInvalid says that a value cannot be stored or a query cannot be
	// answered. See InvalidError.
	ErrInvalid = errors.New("invalid argument")
	// ErrAborted says that the database gave up on a transaction because of
	// concurrent ones, also when tried again. Nothing was changed.
	ErrAborted = errors.New("transaction aborted by concurrent changes")
	// ErrUnavailable says that the database cannot be reached or cannot
	// write now (down, restarting, disk full, read-only, busy). For a write
	// the effect is not known unless the write carries a Request: trying it
	// again with the same Request is always right.
	ErrUnavailable = errors.New("store is unavailable")
)

// NotFoundError is an ErrNotFound with the ID that was asked for.
type NotFoundError struct {
	// ID is the user ID that is not there.
	ID string
	// Index is its position in the IDs of a BatchGet, otherwise 0.
	Index int
}

// Error says which user is missing.
func (e *NotFoundError) Error() string { return fmt.Sprintf("user %q not found", e.ID) }

// Is makes the error an ErrNotFound.
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

// The fields an ExistsError names.
const (
	// ConflictID is the Field of an ExistsError when the ID is taken.
	ConflictID = "id"
	// ConflictEmail is the Field of an ExistsError when the e-mail is taken.
	ConflictEmail = "email"
)

// ExistsError is an ErrExists that says what is taken.
type ExistsError struct {
	// Field is ConflictID or ConflictEmail.
	Field string
	// Value is the ID or the e-mail key that is taken.
	Value string
	// Deleted is true when the ID is held by a soft-deleted user: it can be
	// undeleted, or used again after its purge.
	Deleted bool
}

// Error says what is taken.
func (e *ExistsError) Error() string {
	if e.Deleted {
		return fmt.Sprintf("user with %s %q exists and is deleted", e.Field, e.Value)
	}
	return fmt.Sprintf("user with %s %q already exists", e.Field, e.Value)
}

// Is makes the error an ErrExists.
func (e *ExistsError) Is(target error) bool { return target == ErrExists }

// VersionError is an ErrVersionMismatch with the user as it is stored now.
type VersionError struct {
	// Current is the stored user.
	Current User
}

// Error names the user and its version.
func (e *VersionError) Error() string {
	return fmt.Sprintf("user %q has changed since it was read: it is now at version %d", e.Current.ID, e.Current.Version)
}

// Is makes the error an ErrVersionMismatch.
func (e *VersionError) Is(target error) bool { return target == ErrVersionMismatch }

// DeletedError is an ErrDeleted with the soft-deleted user.
type DeletedError struct {
	// Current is the stored user.
	Current User
}

// Error names the user.
func (e *DeletedError) Error() string { return fmt.Sprintf("user %q is deleted", e.Current.ID) }

// Is makes the error an ErrDeleted.
func (e *DeletedError) Is(target error) bool { return target == ErrDeleted }

// CompactedError is an ErrCompacted that says from where events exist.
type CompactedError struct {
	// Compacted is the newest revision that is gone: Events after it, and
	// after anything newer, can be had.
	Compacted int64
	// Asked is the revision after which events were asked for.
	Asked int64
}

// Error says what to do: list again.
func (e *CompactedError) Error() string {
	return fmt.Sprintf("events after revision %d are compacted up to %d: list again and watch from the revision of the list", e.Asked, e.Compacted)
}

// Is makes the error an ErrCompacted.
func (e *CompactedError) Is(target error) bool { return target == ErrCompacted }

// InvalidError is an ErrInvalid that names the value.
type InvalidError struct {
	// Field is what is wrong, as the Go field is named (for example
	// "User.DisplayName" or "Query.After").
	Field string
	// Problem says what is wrong with it and what would be right.
	Problem string
}

// Error says what is wrong where.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Problem }

// Is makes the error an ErrInvalid.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }
