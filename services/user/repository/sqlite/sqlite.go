// Package sqlite keeps users in one SQLite file, which several processes may
// share. It is the embedded default: nothing to install, no network.
//
// The file is in WAL mode with synchronous=FULL, so a write that returned
// survives kill -9 and power cuts. Reads go through a few connections and
// never wait for writes. Writes go through one connection per process;
// those that arrive while another is being made durable share the next
// transaction, and so one fsync.
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

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/internal/core"
)

// Config says where the users are. Path is required.
type Config struct {
	// Path is the database file. Its directory must exist; the file is
	// created by Migrate; next to it are SQLite's -wal and -shm and two files
	// for locks, .lock and .turn.
	Path string
	// Readers is the number of connections for reads; 0 means the number of
	// CPUs, at least 4.
	Readers int
	// BusyTimeout bounds how long a write waits for other processes to let
	// go of the file, within its context; 0 means 10 s.
	BusyTimeout time.Duration
	// Now is the clock that stamps users and expires records; nil means
	// time.Now.
	Now func() time.Time
}

// Store is a repository.Store on SQLite. It is safe for concurrent use.
type Store struct {
	cfg     Config
	readers *sql.DB
	pollers *sql.DB
	writer  *writer
	changed core.Broadcast
	stmts   stmtCache
}

var _ repository.Store = (*Store)(nil)

// New returns a store. It opens nothing: call Migrate first, Close last.
func New(cfg Config) (*Store, error) {
	if cfg.Path == "" {
		return nil, errors.New("sqlite: Config.Path is empty: name the database file")
	}
	if cfg.Readers <= 0 {
		cfg.Readers = max(4, runtime.NumCPU())
	}
	if cfg.BusyTimeout <= 0 {
		cfg.BusyTimeout = 10 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{cfg: cfg}
	var err error
	if s.readers, err = s.open("_query_only", "1"); err != nil {
		return nil, err
	}
	s.readers.SetMaxOpenConns(cfg.Readers)
	s.readers.SetMaxIdleConns(cfg.Readers)
	if s.pollers, err = s.open("_query_only", "1"); err != nil {
		return nil, err
	}
	w, err := s.open("_txlock", "immediate", "_busy_timeout", "0") // writer.begin waits by itself
	if err != nil {
		return nil, err
	}
	w.SetMaxOpenConns(1)
	s.writer = &writer{db: w, busy: cfg.BusyTimeout, now: s.now, committed: s.changed.Signal, turn: turn{path: cfg.Path + ".turn"}}
	s.stmts.db = s.readers
	return s, nil
}

// open returns a handle with the pragmas that every connection has.
func (s *Store) open(extra ...string) (*sql.DB, error) {
	q := url.Values{}
	q.Set("_busy_timeout", strconv.Itoa(int(s.cfg.BusyTimeout/time.Millisecond)))
	q.Set("_foreign_keys", "1")
	q.Set("_synchronous", "FULL")
	q.Add("_pragma", "cache_size(-32000)")           // 32 MB for each connection
	q.Add("_pragma", "wal_autocheckpoint(8000)")     // 32 MB of pages: imports touch many
	q.Add("_pragma", "journal_size_limit(67108864)") // 64 MB stay for reuse
	for i := 0; i < len(extra); i += 2 {
		q.Set(extra[i], extra[i+1])
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: s.cfg.Path, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.cfg.Path, err)
	}
	return db, nil
}

func (s *Store) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Microsecond) }

// Ping reports whether the file can be read.
func (s *Store) Ping(ctx context.Context) error {
	var n int
	return wrap(ctx, "ping", s.readers.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n))
}

// Close waits for the writes that have begun and closes all connections.
// Other writes, and Wait, end with an ErrUnavailable.
func (s *Store) Close() error {
	s.changed.Close()
	return errors.Join(s.writer.close(), s.stmts.close(), s.readers.Close(), s.pollers.Close())
}

// dialect is SQLite's SQL.
func dialect() core.Dialect {
	return core.Dialect{
		Arg:  func(n int) string { return "?" + strconv.Itoa(n) },
		Time: func(t time.Time) any { return t.UnixMicro() },
		Label: func(key string, test func(string) string) string {
			return "EXISTS (SELECT 1 FROM json_each(users.labels) AS l WHERE l.key = " + key + " AND " + test("l.value") + ")"
		},
		Contains: func(text, part string) string { return "instr(" + text + ", " + part + ") > 0" },
	}
}
