package postgres

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// Advisory locks. Those of requests and imports are hashes with the top bit
// set; these have it clear.
const (
	lockMigrations int64 = 0x6b65656c_75730001
	lockSequencer  int64 = 0x6b65656c_75730002
)

// lockKey returns the advisory lock of a request or an import.
func lockKey(kind, scope, id string) int64 {
	h := fnv.New64a()
	for _, s := range [...]string{kind, scope, id} {
		_, _ = h.Write([]byte(s)) // never fails
		_, _ = h.Write([]byte{0})
	}
	return int64(h.Sum64() | 1<<63)
}

// maxAttempts bounds how often a transaction is tried.
const maxAttempts = 8

// attempt is one try of a transaction on a connection of its own.
type attempt struct {
	conn *pgx.Conn
	// committing is set before a COMMIT is sent: from then on a lost
	// connection leaves the outcome open, and it is not tried again here.
	committing bool
}

// errAgain asks for another attempt: the answer has changed meanwhile.
var errAgain = errors.New("try again")

// transact runs f, which begins and commits, until it succeeds, fails for
// good, or has been tried too often.
func (s *Store) transact(ctx context.Context, doing string, f func(context.Context, *attempt) error) error {
	var err error
	for n := range maxAttempts {
		if n > 0 {
			if !pause(ctx, n) {
				return wrap(ctx, doing, ctx.Err())
			}
		}
		var again bool
		if again, err = s.try(ctx, f); !again {
			break
		}
	}
	var d domainError
	if errors.As(err, &d) {
		return d.error
	}
	if errors.Is(err, errAgain) {
		return repository.ErrAborted
	}
	return wrap(ctx, doing, err)
}

func (s *Store) try(ctx context.Context, f func(context.Context, *attempt) error) (again bool, err error) {
	conn, err := s.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release() // closes a connection that is broken or inside a transaction
	a := &attempt{conn: conn.Conn()}
	err = f(ctx, a)
	if err == nil {
		return false, nil
	}
	if !a.conn.IsClosed() && a.conn.PgConn().TxStatus() != 'I' {
		if _, rollback := a.conn.Exec(ctx, "ROLLBACK"); rollback != nil && ctx.Err() == nil {
			return false, errors.Join(err, rollback)
		}
	}
	if errors.As(err, new(domainError)) || ctx.Err() != nil {
		return false, err
	}
	class := Classify(err)
	lost := errors.Is(class, repository.ErrUnavailable) && a.conn.IsClosed() && !a.committing
	return errors.Is(err, errAgain) || errors.Is(class, repository.ErrAborted) || lost, err
}

// pause waits before the n-th repetition: 1 to 2 ms, doubling up to 64 ms.
func pause(ctx context.Context, n int) bool {
	d := time.Millisecond << min(n-1, 6)
	timer := time.NewTimer(d + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// send runs a batch in one round trip. read is called with the results in
// the order of the statements.
func (a *attempt) send(ctx context.Context, b *pgx.Batch, read func(pgx.BatchResults) error) (err error) {
	results := a.conn.SendBatch(ctx, b)
	defer func() {
		if closeErr := results.Close(); err == nil {
			err = closeErr
		}
	}()
	if read == nil {
		return nil
	}
	return read(results)
}

// skip reads the results of n statements that return nothing of interest.
func skip(r pgx.BatchResults, n int) error {
	for range n {
		if _, err := r.Exec(); err != nil {
			return err
		}
	}
	return nil
}
