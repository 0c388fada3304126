package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// errClosed is the error of a store after Close.
var errClosed = fmt.Errorf("%w: the store is closed", repository.ErrUnavailable)

// Classify returns the error of package repository that an error of the
// PostgreSQL driver amounts to (ErrUnavailable, ErrAborted, or an ExistsError
// without a value), wrapped around it, or nil when it is none. The codes are
// those of appendix A of PostgreSQL's documentation.
func Classify(err error) error {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return classifyCode(pe, err)
	}
	var ce *pgconn.ConnectError
	var ne net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ce), errors.As(err, &ne), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.Is(err, puddle.ErrClosedPool), pgconn.SafeToRetry(err):
		// not %w for the cause: a connect timeout looks like the caller's own
		return fmt.Errorf("%w: %v", repository.ErrUnavailable, err) //nolint:errorlint // see above
	}
	return nil
}

func classifyCode(pe *pgconn.PgError, err error) error {
	switch pe.Code {
	case "40001", "40P01": // serialization failure, deadlock
		return fmt.Errorf("%w: %w", repository.ErrAborted, err)
	case "23505": // unique violation
		switch pe.ConstraintName {
		case "users_pkey":
			return &repository.ExistsError{Field: repository.ConflictID}
		case "users_email_live":
			return &repository.ExistsError{Field: repository.ConflictEmail}
		}
		return nil
	case "25006", "25P03", "55P03", "57014": // read-only, idle in a transaction, lock timeout, statement timeout
		return fmt.Errorf("%w: %w", repository.ErrUnavailable, err)
	}
	switch pe.Code[:min(2, len(pe.Code))] {
	case "08", "53", "57", "58": // connection, resources (disk full), operator, system
		return fmt.Errorf("%w: %w", repository.ErrUnavailable, err)
	}
	return nil
}

// wrap gives an error of the driver its meaning and says what was being done.
func wrap(ctx context.Context, doing string, err error) error {
	if err == nil || isDomain(err) {
		return err
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("%s: %w", doing, ctxErr)
	}
	if c := Classify(err); c != nil {
		return fmt.Errorf("%s: %w", doing, c)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// domainError marks an error that is the answer, not a failure of the
// database.
type domainError struct{ error }

func (e domainError) Unwrap() error { return e.error }

func isDomain(err error) bool {
	return errors.Is(err, repository.ErrNotFound) || errors.Is(err, repository.ErrCompacted) || errors.Is(err, repository.ErrUnavailable)
}
