package internal

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/services/user/repository"
)

// Domain is the domain of every reason this service answers with.
const Domain = "user.keelson.dev"

// resourceType is the type of the resource, as in google.api.resource.
const resourceType = "user.keelson.dev/User"

// The reasons of errors. They are API: clients decide by them.
const (
	ReasonInvalidRequest    = "INVALID_REQUEST"
	ReasonRequestIDReused   = "REQUEST_ID_REUSED"
	ReasonSequenceReused    = "SEQUENCE_REUSED"
	ReasonUserNotFound      = "USER_NOT_FOUND"
	ReasonUserExists        = "USER_ALREADY_EXISTS"
	ReasonEmailTaken        = "EMAIL_TAKEN"
	ReasonUserNotDeleted    = "USER_NOT_DELETED"
	ReasonUserDeleted       = "USER_DELETED"
	ReasonETagMismatch      = "ETAG_MISMATCH"
	ReasonConflict          = "CONCURRENT_CHANGE"
	ReasonStoreUnavailable  = "STORE_UNAVAILABLE"
	ReasonRevisionCompacted = "REVISION_COMPACTED"
	ReasonRevisionUnknown   = "REVISION_UNKNOWN"
	ReasonSlowConsumer      = "SLOW_CONSUMER"
	ReasonWatchExpired      = "WATCH_EXPIRED"

	reasonDraining = errs.ReasonDraining
)

// Errors is the one table from the repository's errors to what callers see.
// Causes name the kind of a domain error only: its text may hold an e-mail.
func Errors() errs.Classifier {
	return errs.Table(
		errs.RowOf(func(e *repository.NotFoundError) *errs.Error {
			return own(errs.NotFound(ReasonUserNotFound, "there is no user %q; it never existed or was purged", nameOf(e.ID)),
				errs.Meta("name", nameOf(e.ID)), errs.Cause(repository.ErrNotFound),
				errs.Resource(resourceType, nameOf(e.ID), "", "the user does not exist"))
		}),
		errs.RowOf(existsError),
		errs.RowOf(func(e *repository.VersionError) *errs.Error {
			return own(errs.Aborted(ReasonETagMismatch, "user %q has changed since it was read; read it again and repeat the change", nameOf(e.Current.ID)),
				errs.Meta("name", nameOf(e.Current.ID)), errs.Meta("current_etag", etagOf(&e.Current)), errs.Cause(repository.ErrVersionMismatch))
		}),
		errs.RowOf(func(e *repository.DeletedError) *errs.Error {
			return own(errs.FailedPrecondition(ReasonUserDeleted, "user %q is deleted; undelete it first", nameOf(e.Current.ID)),
				errs.Meta("name", nameOf(e.Current.ID)), errs.Meta("current_etag", etagOf(&e.Current)), errs.Cause(repository.ErrDeleted),
				errs.Precondition("STATE", nameOf(e.Current.ID), "the user must not be deleted; call UndeleteUser first"))
		}),
		errs.Row{Is: repository.ErrRequestReused, As: own(errs.InvalidArgument(ReasonRequestIDReused, "the request ID was used for another request within 24 h; make a new one for each request"),
			errs.Field("request_id", ReasonRequestIDReused, "was used for another request; use a new UUID4"))},
		errs.Row{Is: repository.ErrSequenceReused, As: own(errs.InvalidArgument(ReasonSequenceReused, "the sequence was used for another item of this import"),
			errs.Field("sequence", ReasonSequenceReused, "was used for another item; each item has a number of its own"))},
		errs.RowOf(func(e *repository.CompactedError) *errs.Error {
			return own(errs.OutOfRange(ReasonRevisionCompacted, "the revision is older than the changes kept; list the users again and watch from the revision of the list"),
				errs.Meta("asked_revision", strconv.FormatInt(e.Asked, 10)), errs.Meta("compacted_revision", strconv.FormatInt(e.Compacted, 10)))
		}),
		errs.RowOf(func(e *repository.InvalidError) *errs.Error {
			return own(errs.InvalidArgument(ReasonInvalidRequest, "%s", e.Error()), errs.Field(e.Field, ReasonInvalidRequest, e.Problem))
		}),
		errs.Row{Is: repository.ErrAborted, As: own(errs.Aborted(ReasonConflict, "concurrent changes kept this one from being stored; try again"), errs.RetryAfter(50*time.Millisecond))},
		errs.Row{Is: repository.ErrUnavailable, As: own(errs.Unavailable(ReasonStoreUnavailable, "the store cannot be reached; try again, writes with the same request_id"), errs.RetryAfter(500*time.Millisecond))},
	)
}

// errStoreSlow is the answer to a call that the store kept waiting until there
// was just time left to say so: locked, slow, or out of connections.
func errStoreSlow() *errs.Error {
	return own(errs.Unavailable(ReasonStoreUnavailable, "the store did not answer in time; try again, writes with the same request_id"), errs.RetryAfter(500*time.Millisecond))
}

// errDeletedAlready is the answer to a delete of a user that is deleted softly
// (AIP-164 wants NOT_FOUND).
func errDeletedAlready(id string) *errs.Error {
	return own(errs.NotFound(ReasonUserNotFound, "user %q is deleted already; set allow_missing if that is as good", nameOf(id)),
		errs.Meta("name", nameOf(id)), errs.Meta("deleted", "true"), errs.Cause(repository.ErrDeleted),
		errs.Resource(resourceType, nameOf(id), "", "the user is deleted"))
}

// errNotDeleted is the answer to an undelete of a live user.
func errNotDeleted(id string) *errs.Error {
	return own(errs.AlreadyExists(ReasonUserNotDeleted, "user %q is not deleted; there is nothing to undo", nameOf(id)),
		errs.Meta("name", nameOf(id)), errs.Cause(repository.ErrNotDeleted),
		errs.Resource(resourceType, nameOf(id), "", "the user is not deleted"))
}

func existsError(e *repository.ExistsError) *errs.Error {
	if e.Field == repository.ConflictEmail {
		return own(errs.AlreadyExists(ReasonEmailTaken, "another live user has this e-mail"), errs.Cause(repository.ErrExists),
			errs.Meta("field", "email"), errs.Resource(resourceType, "", "", "another live user has this e-mail"))
	}
	hint := "choose another user_id"
	if e.Deleted {
		hint = "it is deleted: undelete it, or choose another user_id"
	}
	return own(errs.AlreadyExists(ReasonUserExists, "user %q exists already; %s", nameOf(e.Value), hint), errs.Cause(repository.ErrExists),
		errs.Meta("name", nameOf(e.Value)), errs.Meta("deleted", strconv.FormatBool(e.Deleted)),
		errs.Resource(resourceType, nameOf(e.Value), "", hint))
}

// own adds the service's domain and the details.
func own(e *errs.Error, details ...errs.Detail) *errs.Error {
	return e.With(append(details, errs.Domain(Domain))...)
}

// violations collects what is wrong with a request, to say all of it at once.
type violations []violation

type violation struct{ field, problem string }

func (v *violations) add(field, format string, args ...any) {
	*v = append(*v, violation{field, fmt.Sprintf(format, args...)})
}

// take adds what an error says about fields, and returns any other error.
func (v *violations) take(err error) error {
	var e *errs.Error
	if !errors.As(err, &e) || e.Reason() != ReasonInvalidRequest {
		return err
	}
	for _, f := range e.Fields() {
		v.add(f.GetField(), "%s", f.GetDescription())
	}
	return nil
}

// err is INVALID_ARGUMENT with all violations, or nil when there are none.
func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	msg := v[0].field + ": " + v[0].problem
	if len(v) > 1 {
		msg += fmt.Sprintf(" (and %d more)", len(v)-1)
	}
	details := make([]errs.Detail, len(v))
	for i, f := range v {
		details[i] = errs.Field(f.field, ReasonInvalidRequest, f.problem)
	}
	return own(errs.InvalidArgument(ReasonInvalidRequest, "%s", msg), details...)
}

// invalid is INVALID_ARGUMENT for one field.
func invalid(field, format string, args ...any) error {
	var v violations
	v.add(field, format, args...)
	return v.err()
}

// status maps an error of the store to what the caller sees: by the table, or
// by what it is to any service (a context that ended). Others stay as they are;
// the chassis hides them.
func (h *Handler) status(err error) error {
	if err == nil {
		return nil
	}
	var known *errs.Error
	if errors.As(err, &known) {
		return known
	}
	if e := h.errors(err); e != nil {
		return e
	}
	if e := errs.Classify(err); e != nil {
		return e
	}
	return err
}
