package repositorytest_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/audit/repository"
	"github.com/keelson-dev/keelson/services/audit/repository/repositorytest"
	"github.com/keelson-dev/keelson/services/audit/repository/sqlite"
)

// A store's own test calls the suite with a way to make databases.
func ExampleRun() {
	_ = func(t *testing.T) {
		repositorytest.Run(t, func(tb testing.TB) func(now func() time.Time) repository.Store {
			path := filepath.Join(tb.TempDir(), "audit.db")
			return func(now func() time.Time) repository.Store {
				s, err := sqlite.New(sqlite.Config{Path: path, Now: now})
				if err != nil {
					tb.Fatal(err)
				}
				return s
			}
		})
	}
}
