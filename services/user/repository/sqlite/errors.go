package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// errClosed is the error of a store after Close.
var errClosed = fmt.Errorf("%w: the store is closed", repository.ErrUnavailable)

// Classify returns the error of package repository that an error of the
// SQLite driver amounts to (ErrUnavailable, ErrAborted, or an ExistsError
// without a value), wrapped around it, or nil when it is none.
func Classify(err error) error {
	var se *sqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrConnDone), errors.Is(err, driver.ErrBadConn):
		return fmt.Errorf("%w: %w", repository.ErrUnavailable, err)
	case !errors.As(err, &se):
		if strings.Contains(err.Error(), "database is closed") { // database/sql has no value for it
			return fmt.Errorf("%w: %w", repository.ErrUnavailable, err)
		}
		return nil
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM:
		return fmt.Errorf("%w: %w", repository.ErrUnavailable, err)
	case sqlite3.SQLITE_ABORT, sqlite3.SQLITE_SCHEMA:
		return fmt.Errorf("%w: %w", repository.ErrAborted, err)
	case sqlite3.SQLITE_CONSTRAINT:
		switch {
		case strings.Contains(err.Error(), "users.email_key"):
			return &repository.ExistsError{Field: repository.ConflictEmail}
		case strings.Contains(err.Error(), "users.id"):
			return &repository.ExistsError{Field: repository.ConflictID}
		}
	}
	return nil
}

// wrap gives an error of the driver its meaning and says what was being done.
// Errors of the domain stay as they are.
func wrap(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("%s: %w", doing, ctxErr)
	}
	if c := Classify(err); c != nil {
		return fmt.Errorf("%s: %w", doing, c)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func isBusy(err error) bool {
	var se *sqlite.Error
	return errors.As(err, &se) && (se.Code()&0xff == sqlite3.SQLITE_BUSY || se.Code()&0xff == sqlite3.SQLITE_LOCKED)
}
