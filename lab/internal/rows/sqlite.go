package rows

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver of the integrity check

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"

	"github.com/keelson-dev/keelson/lab/internal/check"
	"github.com/keelson-dev/keelson/lab/internal/history"
	"github.com/keelson-dev/keelson/lab/internal/load"
	"github.com/keelson-dev/keelson/lab/internal/platform"
)

func sqliteRow() Row {
	return Row{
		Name: "sqlite-kill9", Promise: "a SQLite instance killed with -9 in a write loop: acknowledged writes lost 0; integrity check clean",
		Short: Params{Times: 15}, Full: Params{Times: 200},
		Run: sqliteKills,
	}
}

// sqliteKills kills one instance on SQLite again and again at random moments of
// a write loop, and checks the file as each crash left it.
func sqliteKills(ctx context.Context, e *Env) ([]check.Verdict, error) {
	dir, err := os.MkdirTemp(e.Dir, "sqlite-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "user.db")
	i, err := e.Lone("user", "KEELSON_STORE__DRIVER=sqlite", "KEELSON_STORE__SQLITE__PATH="+file)
	if err != nil {
		return nil, err
	}
	defer i.Kill()
	if err := i.Start(ctx); err != nil {
		return nil, err
	}
	w, err := newWriteLoop(ctx, e, i)
	if err != nil {
		return nil, err
	}
	defer w.close()
	integrity := check.Verdict{Name: "integrity check clean", OK: true}
	for n := range e.Params.Times {
		if err := e.Wait(ctx, time.Duration(100+e.Rng.IntN(300))*time.Millisecond); err != nil {
			return nil, err
		}
		i.Kill()
		if err := integrityOf(ctx, file); err != nil {
			integrity.OK = false
			integrity.Faults = append(integrity.Faults, fmt.Sprintf("after kill %d: %v", n+1, err))
		}
		if err := i.Start(ctx); err != nil {
			return nil, err
		}
		if n%10 == 9 {
			e.Log("%d kills, %d calls", n+1, w.generator.Calls())
		}
	}
	integrity.Detail = fmt.Sprintf("%d kills", e.Params.Times)
	verdicts, err := w.finish(ctx)
	return append(verdicts, integrity), errors.Join(err, i.Stop())
}

// writeLoop is load on one instance, and a watch of all its changes.
type writeLoop struct {
	*Env
	prefix    string
	users     userv1.UserServiceClient
	generator *load.Generator
	stream    *history.Stream
	closing   func() error
	stopLoad  context.CancelFunc
	stopAll   context.CancelFunc
	running   sync.WaitGroup
	watching  sync.WaitGroup
}

func newWriteLoop(ctx context.Context, e *Env, i *platform.Instance) (*writeLoop, error) {
	client, err := e.Client("lab")
	if err != nil {
		return nil, err
	}
	conn, err := client.Dial(i.Address)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	w := &writeLoop{Env: e, prefix: fmt.Sprintf("sqlite-%d-%d", e.Seed, time.Now().Unix()%1_000_000), users: userv1.NewUserServiceClient(conn), closing: client.Close}
	bounded, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	revision, err := load.Revision(bounded, w.users)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	loading, stopLoad := context.WithCancel(ctx)
	streaming, stopAll := context.WithCancel(ctx)
	w.stopLoad, w.stopAll = stopLoad, stopAll
	w.stream = e.History.Stream("watch")
	w.watching.Go(func() { load.Watch(streaming, w.users, w.prefix, revision, e.History.Clock, w.stream) })
	w.generator = load.New(load.Config{Rate: e.Rate, Seed: e.Seed, Prefix: w.prefix, Mix: load.Mix{Get: 20}}, w.users, nil, e.History)
	w.running.Go(func() { w.generator.Run(loading) })
	return w, nil
}

// finish ends the load and checks what is there.
func (w *writeLoop) finish(ctx context.Context) ([]check.Verdict, error) {
	w.stopLoad()
	w.running.Wait()
	asked := w.generator.Settle(ctx)
	users, err := w.generator.ReadBack(ctx)
	if err != nil {
		return nil, err
	}
	calls := w.History.Calls()
	w.Until(ctx, drainLimit, func() bool {
		return check.Replayed("the watch", w.stream.Events(), users).OK
	})
	n, failed := count(calls, every)
	w.Fact(fmt.Sprintf("%d calls, %d of them without an answer, %d writes asked about again; the watch resumed %d times", n, failed, asked, len(w.stream.Breaks())))
	events := w.stream.Events()
	return []check.Verdict{
		check.Effects("the watch", calls, nil, events),
		check.Stream(w.stream),
		check.Causal("the watch", calls, events),
		check.Replayed("the watch", events, users),
		check.Linearizable(calls, linearLimit),
	}, nil
}

func (w *writeLoop) close() {
	w.stopLoad()
	w.stopAll()
	w.running.Wait()
	w.watching.Wait()
	if err := w.closing(); err != nil {
		w.Log("close the lab's client: %v", err)
	}
}

// integrityOf checks a copy of a database that nobody has open, as the crash
// left it: its recovery is left to the service.
func integrityOf(ctx context.Context, file string) error {
	dir, err := os.MkdirTemp(filepath.Dir(file), "copy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(file+suffix, filepath.Join(dir, "copy.db"+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "copy.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	var text string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&text); err != nil {
		return fmt.Errorf("check the integrity of %s: %w", file, err)
	}
	if text != "ok" {
		return fmt.Errorf("check the integrity of %s: %s", file, text)
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
