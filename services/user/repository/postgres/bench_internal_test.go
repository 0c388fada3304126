package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	postgrestest "github.com/keelson-dev/keelson/internal/testservers/postgres"
	"github.com/keelson-dev/keelson/services/user/repository/repositorytest"
)

func benchStore(b *testing.B) *Store {
	b.Helper()
	var server postgrestest.Server
	b.Cleanup(func() { // after the database is dropped
		if err := server.Stop(); err != nil {
			b.Error(err)
		}
	})
	dsn := server.Database(b)
	s, err := New(Config{DSN: dsn})
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
	conn, err := pgx.ConnectConfig(b.Context(), s.poolCfg.ConnConfig)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(b.Context())
	repositorytest.BenchmarkImport(b, s, func(from int64, n int) func() error {
		var c columns
		now := time.Now().UTC()
		for i, item := range repositorytest.BenchItems(from, n) {
			if err := c.add(i, &item, now); err != nil {
				b.Fatal(err)
			}
		}
		return func() error {
			batch := &pgx.Batch{}
			batch.Queue("BEGIN")
			batch.Queue(hashJoins)
			batch.Queue(lockXact, lockKey("import", "", "bare"))
			batch.Queue(selectImported, "", "bare", from, from+int64(n)-1, now)
			batch.Queue(insertImported, c.sequence, c.id, c.uid, c.email, c.emailKey, c.displayName, c.givenName, c.familyName,
				c.labels, c.state, c.after, now, "", "bare", now, c.hash)
			batch.Queue("COMMIT")
			return conn.SendBatch(b.Context(), batch).Close()
		}
	})
}
