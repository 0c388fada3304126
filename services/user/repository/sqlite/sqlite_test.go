package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/repositorytest"
	"github.com/keelson-dev/keelson/services/user/repository/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	repositorytest.Run(t, repositorytest.FactoryFunc(func(tb testing.TB) func(func() time.Time) repository.Store {
		path := filepath.Join(tb.TempDir(), "users.db")
		return func(now func() time.Time) repository.Store { return open(tb, path, now) }
	}))
}

func open(tb testing.TB, path string, now func() time.Time) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.New(sqlite.Config{Path: path, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}
