package sqlite_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson/services/audit/repository"
	"github.com/keelson-dev/keelson/services/audit/repository/repositorytest"
	"github.com/keelson-dev/keelson/services/audit/repository/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	repositorytest.Run(t, func(tb testing.TB) func(func() time.Time) repository.Store {
		path := filepath.Join(tb.TempDir(), "audit.db")
		return func(now func() time.Time) repository.Store {
			s, err := sqlite.New(sqlite.Config{Path: path, BusyTimeout: time.Minute, Now: now})
			if err != nil {
				tb.Fatal(err)
			}
			return s
		}
	})
}

func TestAFileThatCannotBeMadeIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "audit.db")
	s, err := sqlite.New(sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v; want one that names %s", err, path)
	}
}

func TestNewWantsAPath(t *testing.T) {
	if _, err := sqlite.New(sqlite.Config{}); err == nil {
		t.Error("a store without a path was made")
	}
}
