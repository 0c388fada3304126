package internal_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/internal"
	"github.com/keelson-dev/keelson/services/user/repository"
)

func TestPurgeRemovesWhatIsDueAndFreesTheName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	soonGone := serve(t, openStore(t, path), internal.HandlerConfig{DeletedTTL: time.Microsecond})
	c := serve(t, openStore(t, path), internal.HandlerConfig{})
	first := create(t, c, "anna", nil)
	create(t, c, "bert", nil)
	wantOK[*userv1.User](t)(soonGone.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/anna"}))
	wantOK[*userv1.User](t)(c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/bert"}))
	live, all := watch(t, c, &userv1.WatchUsersRequest{}), watch(t, c, &userv1.WatchUsersRequest{ShowDeleted: true})
	wantMessages(t, live, "BOOKMARK end")
	wantMessages(t, all, "ADDED anna", "ADDED bert", "BOOKMARK end")

	if err := internal.NewPurger(c.store, "me", internal.PurgeConfig{}, nil).Purge(soon(t)); err != nil {
		t.Fatal(err)
	}
	_, err := c.GetUser(soon(t), &userv1.GetUserRequest{Name: "users/anna"})
	wantError(t, err, codes.NotFound, internal.ReasonUserNotFound, "")
	_, err = c.UndeleteUser(soon(t), &userv1.UndeleteUserRequest{Name: "users/anna"})
	wantError(t, err, codes.NotFound, internal.ReasonUserNotFound, "")
	wantOK[*userv1.User](t)(c.GetUser(soon(t), &userv1.GetUserRequest{Name: "users/bert"}))
	if again := create(t, c, "anna", nil); again.GetUid() == first.GetUid() || again.GetEtag() == first.GetEtag() {
		t.Errorf("the new user is the old one: %v", again)
	}
	wantMessages(t, live, "ADDED anna")
	wantMessages(t, all, "DELETED anna", "ADDED anna")
}

// roundStore says of each round whose it is.
type roundStore struct {
	repository.Store
	rounds chan repository.PurgeResult
}

func (s *roundStore) Purge(ctx context.Context, p repository.PurgeRound) (repository.PurgeResult, error) {
	res, err := s.Store.Purge(ctx, p)
	if err == nil {
		select {
		case s.rounds <- res:
		case <-ctx.Done():
		}
	}
	return res, err
}

func TestOnlyOneInstancePurgesAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	ctx, cancel := context.WithCancel(soon(t))
	stores := make([]*roundStore, 2)
	ended := make(chan error, len(stores))
	for i := range stores {
		stores[i] = &roundStore{openStore(t, path), make(chan repository.PurgeResult)}
		p := internal.NewPurger(stores[i], string(rune('a'+i)), internal.PurgeConfig{Interval: time.Millisecond}, nil)
		if i == 0 { // it takes the lease for as long as the test runs
			p = internal.NewPurger(stores[i], "a", internal.PurgeConfig{Interval: time.Hour}, nil)
			go func() { ended <- p.Purge(ctx) }()
			if !(<-stores[0].rounds).Held {
				t.Fatal("nobody else holds the lease")
			}
			continue
		}
		go func() { ended <- p.Run(ctx) }()
	}
	for range 3 {
		if (<-stores[1].rounds).Held {
			t.Error("two hold the lease")
		}
	}
	cancel()
	for range stores {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
