package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// rawWriter does what a write of the store does, statement by statement, so
// that a test can stop in between.
type rawWriter struct {
	t    *testing.T
	conn *pgx.Conn
}

func newRawWriter(t *testing.T, dsn string) *rawWriter {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return &rawWriter{t: t, conn: conn}
}

func (w *rawWriter) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.conn.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Errorf("%s: %v", sql, err)
	}
}

// update raises the user's version and puts the event into the queue.
func (w *rawWriter) update(id string) {
	w.t.Helper()
	w.exec(`WITH w AS (UPDATE users SET version = version + 1 WHERE id = $1 RETURNING id, uid, version)
		INSERT INTO user_event_queue (kind, time, after, before)
		SELECT 2, now(), json_build_object('id', id, 'uid', uid, 'version', version, 'state', 1)::text, json_build_object('id', id)::text FROM w`, id)
}

// order returns the stream as "id@version".
func order(t *testing.T, s repository.Store, after int64) []string {
	t.Helper()
	evs, err := s.Events(t.Context(), after, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ev := range evs {
		got = append(got, fmt.Sprintf("%d:%s@%d", ev.Revision, ev.User.ID, ev.User.Version))
	}
	return got
}

func twoUsers(t *testing.T) (dsn string, s repository.Store) {
	t.Helper()
	dsn = server.Database(t)
	s = open(t, dsn, time.Now)
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"ann", "bob"} {
		if _, err := s.Create(t.Context(), repository.User{ID: id}, repository.Write{}); err != nil {
			t.Fatal(err)
		}
	}
	return dsn, s
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("events (-want +got):\n%s", d)
	}
}

func TestALateCommitComesAfterWhatWasReadBefore(t *testing.T) {
	dsn, s := twoUsers(t)
	late, early := newRawWriter(t, dsn), newRawWriter(t, dsn)
	want(t, order(t, s, 0), "1:ann@1", "2:bob@1")
	late.exec("BEGIN")
	late.update("ann") // takes its place in the queue first
	early.update("bob")
	want(t, order(t, s, 2), "3:bob@2") // a reader is past it now
	late.exec("COMMIT")
	want(t, order(t, s, 3), "4:ann@2") // and does not miss it
	want(t, order(t, s, 0), "1:ann@1", "2:bob@1", "3:bob@2", "4:ann@2")
}

func TestAnEarlyTransactionThatWaitsForARowComesAfterItsHolder(t *testing.T) {
	dsn, s := twoUsers(t)
	waiter, holder := newRawWriter(t, dsn), newRawWriter(t, dsn)
	waiter.exec("BEGIN")
	waiter.exec("SELECT pg_current_xact_id()") // the older xid
	holder.exec("BEGIN")
	holder.update("ann")
	done := make(chan struct{})
	go func() {
		defer close(done)
		waiter.update("ann") // waits for the row
		waiter.exec("COMMIT")
	}()
	waitForLock(t, dsn)
	want(t, order(t, s, 2)) // nothing is committed
	holder.exec("COMMIT")
	<-done
	want(t, order(t, s, 2), "3:ann@2", "4:ann@3")
}

// waitForLock returns when some transaction waits for a row.
func waitForLock(t *testing.T, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		var waits bool
		err := conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())").Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
		if waits {
			return
		}
	}
}

func TestTheStoreOutlivesACrashOfTheServer(t *testing.T) {
	_, s := twoUsers(t)
	server.Restart(t)
	for try := range 20 { // connections of the pool are found dead one by one
		_, err := s.Update(t.Context(), "ann", func(u *repository.User) error { u.DisplayName = fmt.Sprint(try); return nil }, nil, repository.Write{})
		if err == nil {
			return
		}
		t.Logf("try %d: %v", try, err)
	}
	t.Fatal("no write succeeds after a restart of the server")
}

// TestALongQueueDoesNotKeepTheNextChangesBack waits and reads while many events
// have no number yet: what is next comes before all of them are numbered.
func TestALongQueueDoesNotKeepTheNextChangesBack(t *testing.T) {
	dsn, s := twoUsers(t)
	want(t, order(t, s, 0), "1:ann@1", "2:bob@1")
	const n = 10_000
	newRawWriter(t, dsn).exec(fmt.Sprintf(`INSERT INTO user_event_queue (kind, time, after)
		SELECT 2, now(), '{"id":"ann","version":' || v || '}' FROM generate_series(2, %d) AS v`, n+1))
	h, err := s.Wait(t.Context(), 2)
	if err != nil || h.Revision < 3 || h.Revision >= n {
		t.Errorf("Wait returned %+v, %v; want a revision soon behind 2", h, err)
	}
	events, err := s.Events(t.Context(), h.Revision, 10)
	if err != nil || len(events) != 10 || events[9].Revision != h.Revision+10 {
		t.Errorf("%d events, %v; want the next 10", len(events), err)
	}
	if h, err := s.Head(t.Context()); err != nil || h.Revision != n+2 {
		t.Errorf("the head is %+v, %v; want all %d", h, err, n+2)
	}
}
