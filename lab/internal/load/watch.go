package load

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

// again is how long a consumer waits before it opens a broken stream again.
const again = 50 * time.Millisecond

// Watch follows the changes of the users whose names begin with a prefix, from a
// revision on, until the context ends. Wherever the stream breaks it goes on
// from the last message that it has, or from the token of the error.
func Watch(ctx context.Context, users userv1.UserServiceClient, prefix, revision string, clock history.Clock, to *history.Stream) {
	show := &userv1.WatchUsersRequest{StartRevision: revision, ShowDeleted: true, BookmarkInterval: durationpb.New(time.Second)}
	var broken *history.Break
	for ctx.Err() == nil {
		stream, err := users.WatchUsers(ctx, show)
		for err == nil {
			var m *userv1.WatchUsersResponse
			if m, err = stream.Recv(); err != nil {
				break
			}
			if broken != nil {
				broken.Back = clock.Now()
				to.Broke(*broken)
				broken = nil
			}
			show.StartRevision = m.GetRevision()
			if m.GetType() != userv1.WatchUsersResponse_TYPE_BOOKMARK && strings.HasPrefix(m.GetUser().GetName(), "users/"+prefix+"-") {
				s := state(m.GetUser())
				to.Add(history.Event{At: clock.Now(), Key: m.GetUser().GetName(), Etag: s.Etag, Token: s.Token, Deleted: s.Deleted, Revision: m.GetRevision()})
			}
		}
		if ctx.Err() != nil {
			return
		}
		if token, ok := errs.ResumeToken(err); ok {
			show.StartRevision = token
		}
		broken = ended(to, broken, err, clock)
		sleep(ctx, again)
	}
}

// ended notes how a stream ended; an end that says that something is lost is a
// fault.
func ended(to *history.Stream, was *history.Break, err error, clock history.Clock) *history.Break {
	e := errs.From(err)
	if e == nil {
		to.Fault("it ended without an error")
		return &history.Break{At: clock.Now(), Outcome: "OK"}
	}
	switch e.Code() {
	case codes.OutOfRange, codes.InvalidArgument, codes.NotFound, codes.Unimplemented:
		to.Fault(e.Error())
	}
	if was != nil {
		return was // it is the same interruption
	}
	return &history.Break{At: clock.Now(), Outcome: errs.CodeName(e.Code()) + " " + e.Reason()}
}

// sleep waits, unless the context ends first.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
