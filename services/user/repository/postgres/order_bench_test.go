package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// orderSchema holds both ways to number events side by side, without the
// rest of the store.
const orderSchema = `
	CREATE TABLE bench_users (id int PRIMARY KEY, version bigint NOT NULL, body text NOT NULL);
	INSERT INTO bench_users SELECT g, 1, repeat('x', 300) FROM generate_series(0, 9999) AS g;
	CREATE TABLE bench_queue (seq bigserial PRIMARY KEY, body text NOT NULL);
	CREATE TABLE bench_events (revision bigint PRIMARY KEY, body text NOT NULL);
	CREATE TABLE bench_head (one boolean PRIMARY KEY, revision bigint NOT NULL);
	INSERT INTO bench_head VALUES (true, 0);`

const (
	orderQueue = `WITH w AS (UPDATE bench_users SET version = version + 1 WHERE id = $1 RETURNING id)
		INSERT INTO bench_queue (body) SELECT repeat('y', 600) FROM w`
	orderUpdate = `UPDATE bench_users SET version = version + 1 WHERE id = $1`
	orderHead   = `WITH h AS (UPDATE bench_head SET revision = revision + 1 RETURNING revision)
		INSERT INTO bench_events SELECT revision, repeat('y', 600) FROM h`
	orderNumber = `WITH taken AS (DELETE FROM bench_queue RETURNING seq, body), n AS (SELECT count(*) AS c FROM taken),
		h AS (UPDATE bench_head SET revision = revision + n.c FROM n WHERE n.c > 0 RETURNING revision - n.c AS base)
		INSERT INTO bench_events SELECT h.base + row_number() OVER (ORDER BY seq), body FROM taken, h`
)

// BenchmarkChangeStreamOrder compares the two ways to give events one order:
// a sequencer that numbers committed events, and a head row that each
// transaction updates last. The numbers of docs/adr/0010 are from here.
func BenchmarkChangeStreamOrder(b *testing.B) {
	pool := orderPool(b)
	for _, writers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("sequencer/writers=%d", writers), func(b *testing.B) {
			ctx, stop := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			wg.Go(func() { sequence(ctx, b, pool) })
			orderWrites(b, pool, writers, orderQueue)
			stop()
			wg.Wait()
		})
		b.Run(fmt.Sprintf("head/writers=%d", writers), func(b *testing.B) {
			orderWrites(b, pool, writers, orderUpdate, orderHead)
		})
	}
}

func orderPool(b *testing.B) *pgxpool.Pool {
	b.Helper()
	cfg, err := pgxpool.ParseConfig(server.Database(b))
	if err != nil {
		b.Fatal(err)
	}
	cfg.MaxConns = 40
	pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	if _, err := pool.Exec(b.Context(), orderSchema); err != nil {
		b.Fatal(err)
	}
	return pool
}

// orderWrites commits b.N transactions: one round trip that locks, as the
// store's, and one that writes and commits.
func orderWrites(b *testing.B, pool *pgxpool.Pool, writers int, statements ...string) {
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for w := range writers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := orderWrite(b.Context(), pool, (int(i)*7919+w)%10000, statements); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "tx/s")
}

func orderWrite(ctx context.Context, pool *pgxpool.Pool, id int, statements []string) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	read, write := &pgx.Batch{}, &pgx.Batch{}
	read.Queue("BEGIN")
	read.Queue("SELECT * FROM bench_users WHERE id = $1 FOR UPDATE", id)
	if err := conn.SendBatch(ctx, read).Close(); err != nil {
		return err
	}
	for i, s := range statements {
		if i == 0 {
			write.Queue(s, id)
		} else {
			write.Queue(s)
		}
	}
	write.Queue("COMMIT")
	return conn.SendBatch(ctx, write).Close()
}

// sequence numbers every 5 ms until the context ends.
func sequence(ctx context.Context, b *testing.B, pool *pgxpool.Pool) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		batch := &pgx.Batch{}
		batch.Queue("SELECT pg_advisory_xact_lock(1)")
		batch.Queue(orderNumber)
		if err := pool.SendBatch(ctx, batch).Close(); err != nil && ctx.Err() == nil {
			b.Error(err)
			return
		}
	}
}
