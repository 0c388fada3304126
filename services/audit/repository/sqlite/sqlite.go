// Package sqlite keeps the history in one SQLite file, which several processes
// may share. It is the embedded default: nothing to install, no network.
//
// The file is in WAL mode with synchronous=FULL, so that what was stored
// survives kill -9 and power cuts. Reads never wait for writes. SQLite has one
// writer at a time: a process that is stopped (SIGSTOP) in the middle of a write
// keeps others from writing until it goes on or ends.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/keelson-dev/keelson/services/audit/repository"
	"github.com/keelson-dev/keelson/services/audit/repository/internal/core"
)

// Config says where the history is. Path is required.
type Config struct {
	// Path is the database file. Its directory must exist; Migrate creates the
	// file and, beside it, one more for its lock (.lock).
	Path string
	// BusyTimeout bounds how long a write waits for other processes to let go
	// of the file; 0 means 4 s.
	BusyTimeout time.Duration
	// Now is the clock that stamps changes and ends leases; nil means time.Now.
	Now func() time.Time
}

// Store is a repository.Store on SQLite. It is safe for concurrent use.
type Store struct {
	cfg     Config
	readers *sql.DB
	writer  *sql.DB
}

var _ repository.Store = (*Store)(nil)

// New returns a store. It opens nothing: call Migrate first, Close last.
func New(cfg Config) (*Store, error) {
	if cfg.Path == "" {
		return nil, errors.New("sqlite: Config.Path is empty: name the database file")
	}
	if cfg.BusyTimeout <= 0 {
		cfg.BusyTimeout = 4 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{cfg: cfg}
	var err error
	if s.readers, err = s.open(cfg.Path, "_pragma=query_only(1)"); err != nil {
		return nil, err
	}
	s.readers.SetMaxIdleConns(max(4, runtime.NumCPU()))
	s.readers.SetMaxOpenConns(max(4, runtime.NumCPU()))
	if s.writer, err = s.open(cfg.Path, "_txlock=immediate"); err != nil {
		return nil, err
	}
	s.writer.SetMaxOpenConns(1)
	return s, nil
}

// open returns a handle of a file; it does no I/O.
func (s *Store) open(path, settings string) (*sql.DB, error) {
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: settings + "&_pragma=synchronous(FULL)&_pragma=busy_timeout(" + strconv.FormatInt(s.cfg.BusyTimeout.Milliseconds(), 10) + ")"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

func (s *Store) now() int64 { return s.cfg.Now().UnixMicro() }

// Ping implements repository.Store.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.Head(ctx)
	return err
}

// Close implements repository.Store.
func (s *Store) Close() error { return errors.Join(s.writer.Close(), s.readers.Close()) }

// write runs f in a transaction that holds the file's lock from its beginning.
func (s *Store) write(ctx context.Context, doing string, f func(*sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return wrap(ctx, doing, err)
	}
	defer func() { _ = tx.Rollback() }() // of what was not committed
	if err := f(tx); err != nil {
		return wrap(ctx, doing, err)
	}
	return wrap(ctx, doing, tx.Commit())
}

// dialect is SQLite's SQL.
func dialect() core.Dialect {
	return core.Dialect{
		Arg:  func(n int) string { return "?" + strconv.Itoa(n) },
		Time: func(t time.Time) any { return t.UnixMicro() },
	}
}
