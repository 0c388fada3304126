package postgres_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	postgrestest "github.com/keelson-dev/keelson/internal/testservers/postgres"
	"github.com/keelson-dev/keelson/services/audit/repository"
	"github.com/keelson-dev/keelson/services/audit/repository/postgres"
	"github.com/keelson-dev/keelson/services/audit/repository/repositorytest"
)

var server postgrestest.Server

func TestMain(m *testing.M) {
	code := m.Run()
	for _, err := range []error{server.Stop(), goleak.Find()} {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func open(tb testing.TB, dsn string, now func() time.Time) *postgres.Store {
	tb.Helper()
	s, err := postgres.New(postgres.Config{DSN: dsn, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	repositorytest.Run(t, func(tb testing.TB) func(func() time.Time) repository.Store {
		dsn := server.Database(tb)
		return func(now func() time.Time) repository.Store { return open(tb, dsn, now) }
	})
}

func TestNewWantsADSN(t *testing.T) {
	for _, dsn := range []string{"", "postgres://%zz"} {
		if _, err := postgres.New(postgres.Config{DSN: dsn}); err == nil {
			t.Errorf("a store for the DSN %q was made", dsn)
		}
	}
}

func TestLeasesAreMeasuredByTheServersClock(t *testing.T) {
	s := open(t, server.Database(t), nil)
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Acquire(t.Context(), "a", time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Acquire(t.Context(), "b", time.Hour); !errors.Is(err, repository.ErrHeld) {
		t.Errorf("a second owner got the lease: %v", err)
	}
	first, err := s.Acquire(t.Context(), "a", -time.Second) // ends at once
	if err != nil {
		t.Fatal(err)
	}
	if second, err := s.Acquire(t.Context(), "b", time.Hour); err != nil || second.Fence <= first.Fence {
		t.Errorf("a second owner after the end: %v, %v", second, err)
	}
}
