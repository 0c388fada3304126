package internal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/postgres"
	"github.com/keelson-dev/keelson/services/user/repository/sqlite"
)

// Config is everything the user service can be told: the chassis's settings and
// its own.
type Config struct {
	keelson.Config `yaml:",inline"`
	// Store says where users are kept.
	Store StoreConfig `yaml:"store"`
	// Users bounds what the methods do.
	Users HandlerConfig `yaml:"users"`
	// Purge says what is removed for good, and when.
	Purge PurgeConfig `yaml:"purge"`
}

// StoreConfig chooses the store.
type StoreConfig struct {
	// Driver is sqlite (the embedded default) or postgres.
	Driver string `yaml:"driver" default:"sqlite" enum:"sqlite,postgres" doc:"sqlite: one file, embedded; postgres: a server, for production"`
	// SQLite is for the driver sqlite.
	SQLite SQLiteConfig `yaml:"sqlite"`
	// Postgres is for the driver postgres.
	Postgres PostgresConfig `yaml:"postgres"`
}

// SQLiteConfig says where the file is.
type SQLiteConfig struct {
	// Path is the database file; instances on one machine may share it. Its
	// directory is made when it is missing.
	Path string `yaml:"path" default:".keelson/data/user.db" doc:"database file, which instances on one machine share"`
}

// PostgresConfig says how the server is reached.
type PostgresConfig struct {
	// DSN is a connection string or URL as libpq takes it.
	DSN string `yaml:"dsn" secret:"true" doc:"connection string or URL, such as postgres://user:password@host/database"`
	// MaxConns bounds the connections of one instance.
	MaxConns int `yaml:"max_conns" default:"16" min:"2" max:"1000" doc:"most connections of one instance"`
	// StatementTimeout ends statements on the server that take longer.
	StatementTimeout time.Duration `yaml:"statement_timeout" default:"10s" min:"1ms" doc:"ends statements on the server that take longer"`
}

// watchGrace is how much longer than a watch an aged connection lives.
const watchGrace = time.Minute

// DefaultConfig is the configuration before anything was loaded: connections
// that reached their age are given time for the longest watch that may have
// begun on them, so that it ends by itself, with a token.
func DefaultConfig() Config {
	var cfg Config
	cfg.GRPC.ConnectionGrace = WatchConfig{}.withDefaults().MaxAge + watchGrace
	return cfg
}

// Validate reports settings that do not fit together.
func (c *Config) Validate() error {
	var faults []error
	if c.Store.Driver == "postgres" && c.Store.Postgres.DSN == "" {
		faults = append(faults, errors.New("store.postgres.dsn: is empty, and store.driver is postgres; give a connection string such as postgres://user:password@host/database"))
	}
	if c.GRPC.ConnectionGrace <= c.Users.Watch.MaxAge {
		faults = append(faults, fmt.Errorf("users.watch.max_age: %s is not below grpc.connection_age_grace (%s): a watch that began on an old connection would be cut off without a token; lower it or raise the grace", c.Users.Watch.MaxAge, c.GRPC.ConnectionGrace))
	}
	return errors.Join(faults...)
}

// busyTimeout is how long a write waits for another process to let go of the
// SQLite file: less than the timeout of the methods that write, so that callers
// hear what is the matter, and when to try again, before their time is up.
const busyTimeout = 4 * time.Second

// newStore makes the store that is configured; it connects to nothing.
func newStore(c StoreConfig) (repository.Store, error) {
	if c.Driver == "postgres" {
		return postgres.New(postgres.Config{DSN: c.Postgres.DSN, MaxConns: int32(c.Postgres.MaxConns), StatementTimeout: c.Postgres.StatementTimeout}) //nolint:gosec // at most 1000
	}
	return sqlite.New(sqlite.Config{Path: c.SQLite.Path, BusyTimeout: busyTimeout})
}

// prepare makes what the store needs before its migration.
func (c StoreConfig) prepare() error {
	if c.Driver == "postgres" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(c.SQLite.Path), 0o750); err != nil {
		return fmt.Errorf("store.sqlite.path: make the directory of the database file: %w", err)
	}
	return nil
}
