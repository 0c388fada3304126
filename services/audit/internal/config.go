package internal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/services/audit/repository"
	"github.com/keelson-dev/keelson/services/audit/repository/postgres"
	"github.com/keelson-dev/keelson/services/audit/repository/sqlite"
)

// Config is everything the audit service can be told: the chassis's settings and
// its own.
type Config struct {
	keelson.Config `yaml:",inline"`
	// Store says where the history is kept.
	Store StoreConfig `yaml:"store"`
	// Users says where users come from.
	Users UsersConfig `yaml:"users"`
	// Recorder bounds what continues the history.
	Recorder RecorderConfig `yaml:"recorder"`
	// Follow bounds Follow streams.
	Follow FollowConfig `yaml:"follow"`
}

// StoreConfig chooses the store.
type StoreConfig struct {
	// Driver is sqlite (the embedded default) or postgres.
	Driver string `yaml:"driver" default:"sqlite" enum:"sqlite,postgres" doc:"sqlite: one file, embedded; postgres: a server, for production"`
	// SQLite is for the driver sqlite.
	SQLite struct {
		// Path is the database file; instances on one machine may share it. Its
		// directory is made when it is missing.
		Path string `yaml:"path" default:".keelson/data/audit.db" doc:"database file, which instances on one machine share"`
	} `yaml:"sqlite"`
	// Postgres is for the driver postgres.
	Postgres struct {
		// DSN is a connection string or URL as libpq takes it.
		DSN string `yaml:"dsn" secret:"true" doc:"connection string or URL; the database may be the user service's"`
		// MaxConns bounds the connections of one instance.
		MaxConns int `yaml:"max_conns" default:"8" min:"2" max:"1000" doc:"most connections of one instance"`
		// StatementTimeout ends statements on the server that take longer.
		StatementTimeout time.Duration `yaml:"statement_timeout" default:"5s" min:"1ms" doc:"ends statements on the server that take longer"`
	} `yaml:"postgres"`
}

// UsersConfig says where users come from.
type UsersConfig struct {
	// Target is what is dialled.
	Target string `yaml:"target" default:"user" doc:"the user service: its name in the registry, a URL, or host:port"`
	// NamesTimeout bounds what ListChanges waits for names to show; 0: 1 s. It
	// never waits longer than for half of the time that its caller gives it.
	NamesTimeout time.Duration `yaml:"names_timeout" default:"1s" min:"1ms" doc:"how long a list waits for the names to show, and at most half of its deadline"`
}

func (c UsersConfig) withDefaults() UsersConfig {
	c.NamesTimeout = orDefault(c.NamesTimeout, time.Second)
	return c
}

// followGrace is how much longer than a Follow stream an aged connection lives.
const followGrace = time.Minute

// DefaultConfig is the configuration before anything was loaded: connections
// that reached their age are given time for the longest stream that may have
// begun on them, so that it ends by itself, with a token.
func DefaultConfig() Config {
	var cfg Config
	cfg.GRPC.ConnectionGrace = FollowConfig{}.withDefaults().MaxAge + followGrace
	return cfg
}

// Validate reports settings that do not fit together.
func (c *Config) Validate() error {
	var faults []error
	if c.Store.Driver == "postgres" && c.Store.Postgres.DSN == "" {
		faults = append(faults, errors.New("store.postgres.dsn: is empty, and store.driver is postgres; give a connection string such as postgres://user:password@host/database"))
	}
	if c.Store.Driver == "sqlite" && c.Store.SQLite.Path == "" {
		faults = append(faults, errors.New("store.sqlite.path: is empty; name the database file, such as .keelson/data/audit.db"))
	}
	if c.GRPC.ConnectionGrace <= c.Follow.MaxAge {
		faults = append(faults, fmt.Errorf("follow.max_age: %s is not below grpc.connection_age_grace (%s): a stream that began on an old connection would be cut off; lower it or raise the grace", c.Follow.MaxAge, c.GRPC.ConnectionGrace))
	}
	return errors.Join(faults...)
}

// newStore makes the store that is configured; it connects to nothing.
func newStore(c StoreConfig) (repository.Store, error) {
	if c.Driver == "postgres" {
		return postgres.New(postgres.Config{DSN: c.Postgres.DSN, MaxConns: int32(c.Postgres.MaxConns), StatementTimeout: c.Postgres.StatementTimeout}) //nolint:gosec // at most 1000
	}
	return sqlite.New(sqlite.Config{Path: c.SQLite.Path})
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

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
