package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate implements repository.Store. Other processes are kept out meanwhile by
// the lock of a second, empty database; it goes when a process dies.
func (s *Store) Migrate(ctx context.Context) (err error) {
	guard, err := s.open(s.cfg.Path+".lock", "_txlock=exclusive")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guard.Close()) }()
	lock, err := guard.BeginTx(ctx, nil)
	if err != nil {
		return wrap(ctx, "lock the migrations with "+s.cfg.Path+".lock", err)
	}
	defer func() { err = errors.Join(err, lock.Rollback()) }()

	db, err := s.open(s.cfg.Path, "_pragma=journal_mode(WAL)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true), goose.WithTableName("audit_schema"))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	_, err = p.Up(ctx)
	return wrap(ctx, "migrate "+s.cfg.Path, err)
}
