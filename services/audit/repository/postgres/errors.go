package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

// wrap gives an error of the driver its meaning and says what was being done.
func wrap(ctx context.Context, doing string, err error) error {
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	case errors.As(err, &refused) && refused.ConstraintName == "audit_changes_once":
		return fmt.Errorf("%s: %w", doing, repository.ErrRepeated)
	case refused != nil && isAway(refused.Code), refused == nil && isLost(err):
		// not %w for the cause: a timeout of our own looks like the caller's
		return fmt.Errorf("%s: %w: %v", doing, repository.ErrUnavailable, err) //nolint:errorlint // see above
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// isAway knows the codes of a server that cannot answer now, from appendix A of
// PostgreSQL's documentation.
func isAway(code string) bool {
	switch code {
	case "25006", "55P03": // read-only, lock timeout
		return true
	}
	switch code[:min(2, len(code))] {
	case "08", "53", "57", "58": // connection, resources, operator (timeouts of statements too), system
		return true
	}
	return false
}

// isLost knows errors of the way to the server.
func isLost(err error) bool {
	var connecting *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connecting) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, puddle.ErrClosedPool) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}
