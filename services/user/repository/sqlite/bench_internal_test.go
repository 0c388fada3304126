package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/internal/core"
	"github.com/keelson-dev/keelson/services/user/repository/repositorytest"
)

func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := New(Config{Path: filepath.Join(b.TempDir(), "users.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	return s
}

func BenchmarkStore(b *testing.B) { repositorytest.Benchmark(b, benchStore(b)) }

func BenchmarkImport(b *testing.B) {
	s := benchStore(b)
	db, err := s.open("_txlock", "immediate")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	stmts := map[string]*sql.Stmt{}
	for _, text := range []string{insertIfFree, insertEvent, insertImported} {
		if stmts[text], err = db.PrepareContext(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
	repositorytest.BenchmarkImport(b, s, func(from int64, n int) func() error {
		rows := bareRows(b, from, n)
		return func() error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			for _, r := range rows {
				for text, values := range r {
					if _, err := tx.Stmt(stmts[text]).Exec(values...); err != nil {
						return err
					}
				}
			}
			return tx.Commit()
		}
	})
}

// bareRows returns the values of each statement of each user.
func bareRows(b *testing.B, from int64, n int) []map[string][]any {
	b.Helper()
	var rows []map[string][]any
	now := time.Now().UTC()
	for _, item := range repositorytest.BenchItems(from, n) {
		u, err := core.NewUser(&item.User, now)
		if err != nil {
			b.Fatal(err)
		}
		values, err := userValues(&u)
		if err != nil {
			b.Fatal(err)
		}
		after, err := core.EncodeUser(&u)
		if err != nil {
			b.Fatal(err)
		}
		rows = append(rows, map[string][]any{
			insertIfFree:   values,
			insertEvent:    {int64(repository.EventCreated), now.UnixMicro(), after, nil},
			insertImported: {"", "bare", item.Sequence, u.ID, u.UID, now.UnixMicro(), item.Hash},
		})
	}
	return rows
}
