package postgres_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	postgrestest "github.com/keelson-dev/keelson/internal/testservers/postgres"
	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/postgres"
	"github.com/keelson-dev/keelson/services/user/repository/repositorytest"
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

func TestStore(t *testing.T) {
	repositorytest.Run(t, repositorytest.FactoryFunc(func(tb testing.TB) func(func() time.Time) repository.Store {
		dsn := server.Database(tb)
		return func(now func() time.Time) repository.Store { return open(tb, dsn, now) }
	}))
}

func open(tb testing.TB, dsn string, now func() time.Time) *postgres.Store {
	tb.Helper()
	s, err := postgres.New(postgres.Config{DSN: dsn, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}
