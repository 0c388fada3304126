// Package repository holds the domain of the audit service: the history of
// users, what must be known to continue it, and the store that keeps both.
//
// The package knows nothing of gRPC, protobuf or any database. The stores are
// in the packages sqlite and postgres below it; repositorytest is the one
// suite that both pass.
package repository

import "time"

// Kind says what happened. The numbers are stored: they are never given another
// meaning.
type Kind uint8

// The kinds of changes.
const (
	// KindCreated: the user is new.
	KindCreated Kind = 1
	// KindUpdated: content changed.
	KindUpdated Kind = 2
	// KindDeleted: the user was soft-deleted.
	KindDeleted Kind = 3
	// KindUndeleted: the user came back.
	KindUndeleted Kind = 4
	// KindSuspended: the user may not act any more.
	KindSuspended Kind = 5
	// KindActivated: the user may act again.
	KindActivated Kind = 6
	// KindPurged: a soft-deleted user was removed for good.
	KindPurged Kind = 7
	// KindGap: no user; what happened before it may be missing.
	KindGap Kind = 8
)

// String returns the name of the kind as the API spells it.
func (k Kind) String() string {
	names := [...]string{"UNSPECIFIED", "CREATED", "UPDATED", "DELETED", "UNDELETED", "SUSPENDED", "ACTIVATED", "PURGED", "GAP"}
	if int(k) >= len(names) {
		k = 0
	}
	return names[k]
}

// Fields is a set of fields of a user.
type Fields uint8

// The fields that a change can name. The numbers are stored.
const (
	FieldDisplayName Fields = 1 << iota
	FieldEmail
	FieldFamilyName
	FieldGivenName
	FieldLabels
)

// Names returns the fields as the user service spells them, sorted.
func (f Fields) Names() []string {
	var out []string
	for i, name := range [...]string{"display_name", "email", "family_name", "given_name", "labels"} {
		if f&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// Change is one entry of the history. Times are UTC with microseconds.
type Change struct {
	// Position is its place: 1 for the first, one more for each.
	Position int64
	// Kind says what happened.
	Kind Kind
	// UserID is the last part of the user's resource name; empty for KindGap.
	UserID string
	// UserUID is the user's UID; empty for KindGap.
	UserUID string
	// UserETag is the user's etag after the change.
	UserETag string
	// Fields are those that a KindUpdated changed; none when not known.
	Fields Fields
	// ChangeTime is when it happened.
	ChangeTime time.Time
	// RecordTime is when it was appended.
	RecordTime time.Time
	// Inferred says that it was found by comparing, not seen.
	Inferred bool
}

// Subject is what is known of a user who is not purged: enough to say what the
// next change of it is. Its content is kept as digests only.
type Subject struct {
	// UID is the user's UID.
	UID string
	// ID is the last part of its resource name.
	ID string
	// ETag is its etag after its last change in the history.
	ETag string
	// Deleted says that it was soft-deleted.
	Deleted bool
	// Suspended says that it may not act.
	Suspended bool
	// Digest stands for its content; its form is the caller's.
	Digest []byte
}
