package rows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keelson-dev/keelson/lab/internal/platform"
)

// storeRows are the faults of PostgreSQL and SQLite.
func storeRows() []Row {
	checks := []Check{calm(retryInfo), recoveryWithin(5 * time.Second)}
	slow := platform.Shape{StoreProxy: true}
	tight := platform.Shape{StoreProxy: true, Env: "KEELSON_STORE__POSTGRES__MAX_CONNS=3"}
	short := Params{Before: 2 * time.Second, Fault: 4 * time.Second, After: 7 * time.Second}
	full := Params{Before: 30 * time.Second, Fault: 30 * time.Second, After: time.Minute}
	return []Row{
		{
			Name: "pg-kill9", Promise: "PostgreSQL killed with -9 during writes, restarted: acknowledged writes lost 0; UNAVAILABLE with RetryInfo before the deadline; recovery within 5 s; instances stay registered",
			Short: short, Full: full, Checks: checks,
			Inject: stored("PostgreSQL is killed", func(_ context.Context, e *Env) (func() error, error) {
				e.Postgres.Kill()
				return func() error { return e.Postgres.Start(context.Background()) }, nil
			}),
		},
		{
			Name: "pg-slow", Promise: "PostgreSQL 400 ms slower: as above", Shape: slow,
			Short: short, Full: full, Checks: checks,
			Inject: stored("PostgreSQL is 400 ms slower", func(ctx context.Context, e *Env) (func() error, error) {
				return func() error { e.Store.Heal(ctx); return nil }, e.Store.Slow(400)
			}),
		},
		{
			Name: "pg-locked", Promise: "the table of users locked by somebody: as above",
			Short: short, Full: full, Checks: checks,
			Inject: stored("the table is locked", lockTable),
		},
		{
			Name: "pg-pool", Promise: "3 connections per instance and PostgreSQL 200 ms slower, so that the pool is exhausted: as above", Shape: tight,
			Short: short, Full: full, Checks: checks,
			Inject: stored("the pools are exhausted", func(ctx context.Context, e *Env) (func() error, error) {
				return func() error { e.Store.Heal(ctx); return nil }, e.Store.Slow(200)
			}),
		},
		sqliteRow(),
	}
}

// stored is a fault of the store: begun by a function that returns how to end
// it. All the while the instances must stay registered.
func stored(what string, begin func(context.Context, *Env) (heal func() error, err error)) func(context.Context, *Env) error {
	return func(ctx context.Context, e *Env) error {
		e.Begin(what)
		heal, err := begin(ctx, e)
		if err != nil {
			return err
		}
		gone := map[string]bool{}
		looks := 0
		err = e.lasts(ctx, e.Params.Fault, func() {
			looks++
			for _, i := range e.All() {
				if !e.Lists(ctx, i) {
					gone[i.ID] = true
				}
			}
		})
		err = errors.Join(err, heal())
		e.Heal("the store is well again")
		e.Found(verdict("instances stay registered", len(gone) == 0 && looks > 0, "looked %d times; missing or not passing: %v", looks, gone))
		return err
	}
}

// lasts looks twice a second while the fault lasts.
func (e *Env) lasts(ctx context.Context, d time.Duration, look func()) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		look()
		if err := e.Wait(ctx, min(500*time.Millisecond, time.Until(end))); err != nil {
			return err
		}
	}
	return nil
}

// lockTable locks the users against everybody on a connection of its own.
func lockTable(ctx context.Context, e *Env) (func() error, error) {
	conn, err := e.Postgres.Connect(ctx, platform.Database)
	if err != nil {
		return nil, err
	}
	free := func() error { return conn.Close(context.Background()) }
	tx, err := conn.Begin(ctx)
	if err == nil {
		_, err = tx.Exec(ctx, "LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the table: %w", err), free())
	}
	return free, nil
}
