package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// maxGroup bounds the writes of one transaction.
const maxGroup = 64

// writer runs writes one after another on one connection. The writes that
// wait when a transaction begins share it, each in a savepoint of its own, so
// that they also share its fsync. A goroutine does the work while there is
// some; a write that has begun is seen to its end, so that its caller always
// learns its outcome.
type writer struct {
	db        *sql.DB
	busy      time.Duration
	now       func() time.Time
	committed func()

	mu      sync.Mutex
	queue   []*job
	running bool
	closed  bool
	wg      sync.WaitGroup

	// of the goroutine
	tx   txn
	turn turn
}

type job struct {
	run  func(*txn) error
	done chan error // buffered

	queued time.Time // when it began to wait
}

// write runs f in a transaction of s and returns its result.
func write[T any](ctx context.Context, s *Store, f func(*txn) (T, error)) (T, error) {
	var out T
	err := s.writer.do(ctx, func(t *txn) (err error) {
		out, err = f(t)
		return err
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return out, nil
}

// do returns when f and its transaction are done, or when the context ends
// before they began.
func (w *writer) do(ctx context.Context, f func(*txn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{run: f, done: make(chan error, 1), queued: time.Now()}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return errClosed
	}
	w.queue = append(w.queue, j)
	if !w.running {
		w.running = true
		w.wg.Add(1)
		go w.work()
	}
	w.mu.Unlock()
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
	}
	w.mu.Lock()
	i := slices.Index(w.queue, j)
	if i >= 0 {
		w.queue = slices.Delete(w.queue, i, i+1)
	}
	w.mu.Unlock()
	if i >= 0 {
		return ctx.Err()
	}
	return <-j.done // it has begun
}

// work runs groups of writes until none is left.
func (w *writer) work() {
	defer w.wg.Done()
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.running = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		if err := w.begin(); errors.Is(err, errNobodyWaits) {
			continue // who came meanwhile has a claim to its own wait
		} else if err != nil {
			finish(w.take(), err)
			continue
		}
		w.group(w.take())
		if w.turn.contended() {
			rest(2 * time.Millisecond) // enough for another process to look
		}
	}
}

// take removes the writes that go into the transaction that has begun.
func (w *writer) take() []*job {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.queue), maxGroup)
	jobs := slices.Clone(w.queue[:n])
	w.queue = slices.Delete(w.queue, 0, n)
	return jobs
}

func (w *writer) waiting() (n int, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue), w.closed
}

// expired removes the writes that have waited for the lock as long as they may.
func (w *writer) expired(now time.Time) []*job {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0 // they are in the order in which they came
	for n < len(w.queue) && now.Sub(w.queue[n].queued) > w.busy {
		n++
	}
	jobs := slices.Clone(w.queue[:n])
	w.queue = slices.Delete(w.queue, 0, n)
	return jobs
}

// errNobodyWaits tells that every write gave up before the lock was had.
var errNobodyWaits = errors.New("no write waits for the lock any more")

// begin takes SQLite's write lock. While another process has it, it looks
// again every millisecond or so, as long as a write waits; each write waits for
// the busy timeout at most.
func (w *writer) begin() error {
	waits := false
	defer func() {
		if waits {
			w.turn.served()
		}
	}()
	for {
		err := w.tx.begin(w.db)
		if err == nil {
			return nil
		}
		err, busy := wrap(context.Background(), "begin to write", err), isBusy(err)
		if busy {
			finish(w.expired(time.Now()), err)
		}
		n, closed := w.waiting()
		if n == 0 {
			return errNobodyWaits
		}
		if !busy || closed {
			return err
		}
		if !waits {
			w.turn.waiting()
			waits = true
		}
		rest(500*time.Microsecond + rand.N(time.Millisecond))
	}
}

func rest(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
}

// group runs the jobs in the transaction that has begun, and commits it. Also
// those that fail hear of it only then: what they saw may be the work of
// another job that is not yet durable.
func (w *writer) group(jobs []*job) {
	w.tx.now = w.now()
	w.tx.changed = false
	errs := make([]error, len(jobs))
	good := 0
	for i, j := range jobs {
		var lost bool
		if errs[i], lost = w.one(j, len(jobs) > 1); lost {
			w.tx.rollback()
			finish(jobs, errs[i])
			return
		}
		if errs[i] == nil {
			good++
		}
	}
	if good == 0 {
		w.tx.rollback()
	} else if err := w.tx.exec("COMMIT"); err != nil {
		w.tx.rollback()
		finish(jobs, wrap(context.Background(), "commit", err))
		return
	} else if w.tx.changed {
		w.committed()
	}
	for i, j := range jobs {
		j.done <- errs[i]
	}
}

// one runs a job so that it leaves nothing behind when it fails. It reports
// lost when SQLite has given up the whole transaction.
func (w *writer) one(j *job, shared bool) (err error, lost bool) {
	if !shared {
		return j.run(&w.tx), false
	}
	if err := w.tx.exec("SAVEPOINT job"); err != nil {
		return wrap(context.Background(), "begin to write", err), true
	}
	err = j.run(&w.tx)
	if err != nil {
		if undo := w.tx.exec("ROLLBACK TO job"); undo != nil {
			return wrap(context.Background(), "write", errors.Join(err, undo)), true
		}
	}
	if end := w.tx.exec("RELEASE job"); end != nil {
		return wrap(context.Background(), "write", errors.Join(err, end)), true
	}
	return err, false
}

func finish(jobs []*job, err error) {
	for _, j := range jobs {
		j.done <- err
	}
}

// close ends the writes that wait, waits for those that have begun, and
// closes the connection.
func (w *writer) close() error {
	w.mu.Lock()
	w.closed = true
	jobs := w.queue
	w.queue = nil
	w.mu.Unlock()
	finish(jobs, errClosed)
	w.wg.Wait()
	w.tx.close()
	w.turn.close()
	return w.db.Close()
}

// txn is the writer's connection with its prepared statements. It belongs to
// the writer's goroutine.
type txn struct {
	conn    *sql.Conn
	stmts   map[string]*sql.Stmt
	now     time.Time // of the transaction
	changed bool      // an event was written
}

// begin starts a transaction, on a new connection if need be.
func (t *txn) begin(db *sql.DB) error {
	if t.conn == nil {
		conn, err := db.Conn(context.Background())
		if err != nil {
			return err
		}
		t.conn, t.stmts = conn, map[string]*sql.Stmt{}
	}
	return t.exec("BEGIN IMMEDIATE")
}

// rollback gives up the transaction. When even that fails the connection is
// replaced.
func (t *txn) rollback() {
	if err := t.exec("ROLLBACK"); err != nil {
		var inTransaction bool // SQLite may have rolled back by itself
		if err := t.exec("BEGIN IMMEDIATE"); err == nil {
			inTransaction = t.exec("ROLLBACK") == nil
		}
		if !inTransaction {
			t.close()
		}
	}
}

func (t *txn) close() {
	if t.conn == nil {
		return
	}
	for _, s := range t.stmts {
		_ = s.Close() // the connection goes too
	}
	_ = t.conn.Close()
	t.conn, t.stmts = nil, nil
}

// prepare returns a statement that is kept with the connection.
func (t *txn) prepare(text string) (*sql.Stmt, error) {
	if s := t.stmts[text]; s != nil {
		return s, nil
	}
	s, err := t.conn.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	t.stmts[text] = s
	return s, nil
}

func (t *txn) exec(text string, args ...any) error {
	_, err := t.execN(text, args...)
	return err
}

// execN returns the number of rows that changed.
func (t *txn) execN(text string, args ...any) (int64, error) {
	s, err := t.prepare(text)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t *txn) query(text string, args ...any) (*sql.Rows, error) {
	s, err := t.prepare(text)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(context.Background(), args...)
}

func (t *txn) row(text string, dest []any, args ...any) error {
	s, err := t.prepare(text)
	if err != nil {
		return err
	}
	return s.QueryRowContext(context.Background(), args...).Scan(dest...)
}
