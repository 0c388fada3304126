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

	"github.com/keelson-dev/keelson/services/audit/repository"
)

// wrap gives an error of the driver its meaning and says what was being done.
func wrap(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%s: %w", doing, ended)
	}
	if kind := classify(err); kind != nil {
		return fmt.Errorf("%s: %w: %w", doing, kind, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// classify returns which of the repository's errors an error amounts to, nil for
// none. The codes are those of https://www.sqlite.org/rescode.html.
func classify(err error) error {
	var coded *sqlite.Error
	switch {
	case errors.Is(err, sql.ErrConnDone), errors.Is(err, driver.ErrBadConn):
		return repository.ErrUnavailable
	case !errors.As(err, &coded):
		if strings.Contains(err.Error(), "database is closed") { // database/sql has no value for it
			return repository.ErrUnavailable
		}
		return nil
	}
	switch coded.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT:
		if strings.Contains(coded.Error(), "audit_changes_once") {
			return repository.ErrRepeated
		}
		return nil
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return nil // time does not heal these
	}
	return repository.ErrUnavailable // busy, full, read-only, I/O, ...
}
