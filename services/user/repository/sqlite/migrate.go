package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate creates the file or brings its schema to this program's version.
// A lock on the file Path.lock keeps other processes out meanwhile; the
// kernel lets go of it when a process dies.
func (s *Store) Migrate(ctx context.Context) (err error) {
	unlock, err := lockFile(ctx, s.cfg.Path+".lock")
	if err != nil {
		return wrap(ctx, "lock the migrations", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	db, err := s.open("_journal_mode", "wal")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return wrap(ctx, "migrate "+s.cfg.Path, err)
	}
	return nil
}

// lockFile takes an exclusive lock within the context.
func lockFile(ctx context.Context, path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f.Close, nil // closing lets go of the lock
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for %s, which another process holds: %w", path, ctx.Err()), f.Close())
		}
	}
}
