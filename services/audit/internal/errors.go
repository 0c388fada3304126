package internal

import (
	"fmt"
	"time"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/services/audit/repository"
)

// Domain is the domain of every reason this service answers with.
const Domain = "audit.keelson.dev"

// The reasons of errors. They are API: clients decide by them.
const (
	ReasonInvalidRequest    = "INVALID_REQUEST"
	ReasonChangeNotFound    = "CHANGE_NOT_FOUND"
	ReasonPositionUnknown   = "POSITION_UNKNOWN"
	ReasonConsumerTakenOver = "CONSUMER_TAKEN_OVER"
	ReasonSlowConsumer      = "SLOW_CONSUMER"
	ReasonFollowExpired     = "FOLLOW_EXPIRED"
	ReasonStoreUnavailable  = "STORE_UNAVAILABLE"
)

// Errors is the one table from the repository's errors to what callers see.
func Errors() errs.Classifier {
	return errs.Table(
		errs.Row{Is: repository.ErrNotFound, As: own(errs.NotFound(ReasonChangeNotFound, "the history has no change with this name; it may not be that long yet"))},
		errs.Row{Is: repository.ErrTakenOver, As: own(errs.Aborted(ReasonConsumerTakenOver, "the consumer was started again elsewhere, and this stream is not its stream any more; run one stream for each consumer"))},
		errs.Row{Is: repository.ErrUnavailable, As: storeUnavailable("the store cannot be reached; try again")},
	)
}

func storeUnavailable(problem string) *errs.Error {
	return own(errs.Unavailable(ReasonStoreUnavailable, "%s", problem), errs.RetryAfter(500*time.Millisecond))
}

// own adds the service's domain and the details.
func own(e *errs.Error, details ...errs.Detail) *errs.Error {
	return e.With(append(details, errs.Domain(Domain))...)
}

// invalid is INVALID_ARGUMENT for one field.
func invalid(field, problem string) error { return violations{{field, problem}}.err() }

// violations collects what is wrong with a request, to say all of it at once.
type violations []struct{ field, problem string }

func (v *violations) add(field, problem string) {
	*v = append(*v, struct{ field, problem string }{field, problem})
}

// err is INVALID_ARGUMENT with all violations, or nil when there are none.
func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	more := ""
	if len(v) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(v)-1)
	}
	details := make([]errs.Detail, len(v))
	for i, f := range v {
		details[i] = errs.Field(f.field, ReasonInvalidRequest, f.problem)
	}
	return own(errs.InvalidArgument(ReasonInvalidRequest, "%s: %s%s", v[0].field, v[0].problem, more), details...)
}
