package load

import (
	"context"
	"fmt"
	"time"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

// importSize is how many users one import has.
const importSize = 20

// Import makes one import after the other until the context ends, pausing in
// between. An import whose stream broke is sent again whole, also after the
// context has ended, until it was done or the limit is over.
func Import(ctx context.Context, users userv1.UserServiceClient, prefix string, pauseBetween, limit time.Duration, to *history.History) {
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("%s.import-%d", prefix, n)
		items := make([]*history.Item, importSize)
		for i := range items {
			items[i] = &history.Item{Key: fmt.Sprintf("users/%s-i%d-%d", prefix, n, i), Token: fmt.Sprintf("%s.i%d.%d", prefix, n, i)}
		}
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		for patience.Err() == nil && importOnce(patience, users, id, items) != nil {
			sleep(patience, again)
		}
		cancel()
		to.Import(items)
		sleep(ctx, pauseBetween)
	}
}

// importOnce sends an import and counts its acknowledgements.
func importOnce(ctx context.Context, users userv1.UserServiceClient, id string, items []*history.Item) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := users.ImportUsers(ctx)
	if err != nil {
		return err
	}
	go func() { // ends with ctx
		err := s.Send(&userv1.ImportUsersRequest{Message: &userv1.ImportUsersRequest_Start_{Start: &userv1.ImportUsersRequest_Start{ImportId: id}}})
		for i, item := range items {
			if err != nil {
				return
			}
			u := &userv1.User{DisplayName: item.Token, Email: item.Key[len("users/"):] + "@lab.test"}
			err = s.Send(&userv1.ImportUsersRequest{Message: &userv1.ImportUsersRequest_Item_{Item: &userv1.ImportUsersRequest_Item{Sequence: int64(i), UserId: item.Key[len("users/"):], User: u}}})
		}
		_ = s.CloseSend()
	}()
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		if r := m.GetResult(); r != nil {
			item := items[r.GetSequence()]
			item.Acks++
			if r.GetError() != nil {
				item.Failed++
			}
		}
		if m.GetSummary() != nil {
			return nil
		}
	}
}
