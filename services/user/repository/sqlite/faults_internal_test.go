package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
)

func testStore(t *testing.T, cfg Config) *Store {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "users.db")
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func migrated(t *testing.T, cfg Config) *Store {
	t.Helper()
	s := testStore(t, cfg)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// limitPages makes the database full at n pages.
func limitPages(t *testing.T, s *Store, n int) {
	t.Helper()
	err := s.writer.do(t.Context(), func(x *txn) error {
		return x.exec(fmt.Sprintf("PRAGMA max_page_count = %d", n))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFullDiskFailsWritesUntilThereIsRoom(t *testing.T) {
	s := migrated(t, Config{})
	limitPages(t, s, 40)
	var stored int
	var err error
	for err == nil {
		u := repository.User{ID: fmt.Sprint("user-", stored), DisplayName: strings.Repeat("x", 2000)}
		if _, err = s.Create(t.Context(), u, repository.Write{}); err == nil {
			stored++
		}
	}
	if !errors.Is(err, repository.ErrUnavailable) || stored == 0 {
		t.Fatalf("after %d users: %v, want ErrUnavailable", stored, err)
	}
	if _, err := s.Get(t.Context(), "user-0"); err != nil {
		t.Errorf("read on a full disk: %v", err)
	}
	evs, err := s.Events(t.Context(), 0, 1000)
	if err != nil || len(evs) != stored {
		t.Errorf("%d events for %d users: %v", len(evs), stored, err)
	}
	limitPages(t, s, 100_000)
	if _, err := s.Create(t.Context(), repository.User{ID: "more"}, repository.Write{}); err != nil {
		t.Errorf("write when there is room again: %v", err)
	}
}

func TestAFileHeldByAnotherProcessIsWaitedForWithinBounds(t *testing.T) {
	s := migrated(t, Config{BusyTimeout: 50 * time.Millisecond})
	other, err := s.open("_txlock", "immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Create(t.Context(), repository.User{ID: "ann"}, repository.Write{})
	if !errors.Is(err, repository.ErrUnavailable) {
		t.Errorf("beyond the busy timeout: %v, want ErrUnavailable", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	_, err = s.Create(ctx, repository.User{ID: "ann"}, repository.Write{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beyond the context: %v, want its error", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), repository.User{ID: "ann"}, repository.Write{}); err != nil {
		t.Errorf("when the file is free: %v", err)
	}
}

// A write that comes while the one before it gives up waits for itself.
func TestAWriteDoesNotInheritTheWaitOfOneThatGaveUp(t *testing.T) {
	s := migrated(t, Config{BusyTimeout: 10 * time.Second})
	other, err := s.open("_txlock", "immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for i := range 50 {
		tx, err := other.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.writer.begin(); !errors.Is(err, errNobodyWaits) {
			t.Fatalf("the lock is held and no write waits: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, gaveUp := s.Create(ctx, repository.User{ID: "never"}, repository.Write{})
		cancel()
		next := make(chan error, 1)
		go func() {
			_, err := s.Create(t.Context(), repository.User{ID: fmt.Sprint("user-", i)}, repository.Write{})
			next <- err
		}()
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if err := <-next; err != nil || !errors.Is(gaveUp, context.DeadlineExceeded) {
			t.Fatalf("round %d: the one that gave up: %v; the next: %v", i, gaveUp, err)
		}
	}
}

func TestAWriteThatFailsLeavesItsGroupAlone(t *testing.T) {
	s := migrated(t, Config{})
	jobs := make([]*job, 3)
	for i := range jobs {
		jobs[i] = &job{done: make(chan error, 1), run: func(x *txn) error {
			if err := x.event(repository.EventCreated, &repository.User{ID: fmt.Sprint(i)}, nil); err != nil || i != 1 {
				return err
			}
			return repository.ErrNotFound
		}}
	}
	if err := s.writer.begin(); err != nil {
		t.Fatal(err)
	}
	s.writer.group(jobs)
	for i, want := range []error{nil, repository.ErrNotFound, nil} {
		if err := <-jobs[i].done; !errors.Is(err, want) {
			t.Errorf("job %d: %v, want %v", i, err, want)
		}
	}
	evs, err := s.Events(t.Context(), 0, 10)
	if err != nil || len(evs) != 2 || evs[0].User.ID != "0" || evs[1].User.ID != "2" || evs[1].Revision != 2 {
		t.Errorf("events %v, %v", evs, err)
	}
}

func TestMigrateWaitsForTheLockWithinItsContext(t *testing.T) {
	s := testStore(t, Config{})
	unlock, err := lockFile(t.Context(), s.cfg.Path+".lock")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := s.Migrate(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another process migrates: %v, want the context's error", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestAFileThatCannotBeOpenedIsUnavailable(t *testing.T) {
	s := testStore(t, Config{Path: filepath.Join(t.TempDir(), "missing", "users.db")})
	_, err := s.Get(t.Context(), "ann")
	if !errors.Is(err, repository.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	if _, err := s.Create(t.Context(), repository.User{ID: "ann"}, repository.Write{}); !errors.Is(err, repository.ErrUnavailable) {
		t.Errorf("create: %v", err)
	}
}
