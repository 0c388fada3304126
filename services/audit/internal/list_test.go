package internal_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	"github.com/keelson-dev/keelson/services/audit/internal"
	"github.com/keelson-dev/keelson/services/audit/repository"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// updates are n changes of some users, a minute apart.
func updates(n int, ids ...string) []repository.Change {
	changes := make([]repository.Change, n)
	for i := range changes {
		id := ids[i%len(ids)]
		changes[i] = repository.Change{
			Kind: repository.KindUpdated, UserID: id, UserUID: "uid-" + id, UserETag: fmt.Sprintf("%q", fmt.Sprint(id, i)),
			Fields: repository.FieldEmail, ChangeTime: noon.Add(time.Duration(i) * time.Minute),
		}
	}
	return changes
}

// known keeps only the last of each user, for extend.
func known(t *testing.T, store repository.Store, changes []repository.Change) {
	t.Helper()
	for _, c := range changes {
		extend(t, store, c)
	}
}

// positions lists all pages and returns the positions in their order.
func positions(t *testing.T, c auditv1.AuditServiceClient, req *auditv1.ListChangesRequest) (out []int64) {
	t.Helper()
	for {
		resp := wantOK[*auditv1.ListChangesResponse](t)(c.ListChanges(soon(t), req))
		for _, change := range resp.GetChanges() {
			out = append(out, change.GetPosition())
		}
		if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
			return out
		}
		if len(resp.GetChanges()) != int(req.GetPageSize()) {
			t.Fatalf("a page of %d changes is not the last; asked for %d", len(resp.GetChanges()), req.GetPageSize())
		}
	}
}

func TestPagesHoldEachChangeOnce(t *testing.T) {
	store := newStore(t)
	known(t, store, updates(12, "anna", "bert", "cleo"))
	c := serve(t, store, newDirectory(), internal.FollowConfig{})
	at := func(minutes int) *timestamppb.Timestamp {
		return timestamppb.New(noon.Add(time.Duration(minutes) * time.Minute))
	}
	nanos := func(n int64) *timestamppb.Timestamp { return timestamppb.New(noon.Add(time.Duration(n))) }
	for _, test := range []struct {
		name string
		req  *auditv1.ListChangesRequest
		want []int64
	}{
		{"all", &auditv1.ListChangesRequest{}, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
		{"a user", &auditv1.ListChangesRequest{User: "users/bert"}, []int64{2, 5, 8, 11}},
		{"a user, newest first", &auditv1.ListChangesRequest{User: "users/bert", OrderBy: " position  desc "}, []int64{11, 8, 5, 2}},
		{"a time", &auditv1.ListChangesRequest{StartTime: at(3), EndTime: at(6)}, []int64{4, 5, 6}},
		{"a time shorter than those of the history", &auditv1.ListChangesRequest{StartTime: nanos(1), EndTime: nanos(2)}, nil},
		{"a user and a time", &auditv1.ListChangesRequest{User: "users/anna", StartTime: at(3), EndTime: at(7), OrderBy: "position"}, []int64{4, 7}},
		{"nobody", &auditv1.ListChangesRequest{User: "users/nobody"}, nil},
	} {
		for _, size := range []int32{1, 2, 3, 12, 13} {
			t.Run(fmt.Sprint(test.name, " by ", size), func(t *testing.T) {
				test.req.PageSize, test.req.PageToken = size, ""
				if got := positions(t, c, test.req); !slices.Equal(got, test.want) {
					t.Errorf("pages hold %v; want %v", got, test.want)
				}
			})
		}
	}
}

func TestPagesStayRightWhileTheHistoryGrows(t *testing.T) {
	store := newStore(t)
	changes := updates(8, "anna")
	known(t, store, changes[:4])
	c := serve(t, store, newDirectory(), internal.FollowConfig{})
	req := &auditv1.ListChangesRequest{PageSize: 3, OrderBy: "position desc"}
	first := wantOK[*auditv1.ListChangesResponse](t)(c.ListChanges(soon(t), req))
	known(t, store, changes[4:])
	req.PageToken = first.GetNextPageToken()
	if got := positions(t, c, req); !slices.Equal(got, []int64{1}) {
		t.Errorf("the second page holds %v; want the first change", got)
	}
}

func TestListsRefuseWhatIsWrong(t *testing.T) {
	store := newStore(t)
	known(t, store, updates(3, "anna"))
	c := serve(t, store, newDirectory(), internal.FollowConfig{})
	token := wantOK[*auditv1.ListChangesResponse](t)(c.ListChanges(soon(t), &auditv1.ListChangesRequest{PageSize: 1})).GetNextPageToken()
	for _, test := range []struct {
		name, field string
		req         *auditv1.ListChangesRequest
	}{
		{"a negative size", "page_size", &auditv1.ListChangesRequest{PageSize: -1}},
		{"a garbled token", "page_token", &auditv1.ListChangesRequest{PageToken: token + "A"}},
		{"a token of another user", "page_token", &auditv1.ListChangesRequest{PageToken: token, User: "users/anna"}},
		{"a token of another order", "page_token", &auditv1.ListChangesRequest{PageToken: token, OrderBy: "position desc"}},
		{"a token of another time", "page_token", &auditv1.ListChangesRequest{PageToken: token, StartTime: timestamppb.New(noon)}},
		{"no name of a user", "user", &auditv1.ListChangesRequest{User: "anna"}},
		{"an order that there is not", "order_by", &auditv1.ListChangesRequest{OrderBy: "user"}},
		{"a time that ends before it starts", "end_time", &auditv1.ListChangesRequest{StartTime: timestamppb.New(noon), EndTime: timestamppb.New(noon)}},
		{"a time that ends before all times", "end_time", &auditv1.ListChangesRequest{EndTime: timestamppb.New(time.Time{})}},
		{"a time that is none", "start_time", &auditv1.ListChangesRequest{StartTime: &timestamppb.Timestamp{Seconds: 1 << 60}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := c.ListChanges(soon(t), test.req)
			wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", test.field)
		})
	}
}

func TestGetChange(t *testing.T) {
	store := newStore(t)
	known(t, store, updates(2, "anna"))
	c := serve(t, store, newDirectory(), internal.FollowConfig{})
	got := wantOK[*auditv1.Change](t)(c.GetChange(soon(t), &auditv1.GetChangeRequest{Name: "changes/2"}))
	if got.GetName() != "changes/2" || got.GetPosition() != 2 || got.GetUser() != "users/anna" || got.GetKind() != auditv1.Change_KIND_UPDATED ||
		!slices.Equal(got.GetChangedFields(), []string{"email"}) || !got.GetChangeTime().AsTime().Equal(noon.Add(time.Minute)) {
		t.Errorf("the change is %v", got)
	}
	for _, name := range []string{"changes/3", "changes/9999999999999999999"} {
		_, err := c.GetChange(soon(t), &auditv1.GetChangeRequest{Name: name})
		wantError(t, err, codes.NotFound, "CHANGE_NOT_FOUND", "")
	}
	for _, name := range []string{"", "changes/0", "changes/-1", "users/1"} {
		_, err := c.GetChange(soon(t), &auditv1.GetChangeRequest{Name: name})
		wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name")
	}
}

func TestListsShowTheNamesThatUsersHaveNow(t *testing.T) {
	type shown struct {
		names   []string
		missing bool
	}
	here := func(names ...string) (resp *userv1.BatchGetUsersResponse) {
		resp = &userv1.BatchGetUsersResponse{}
		for _, n := range names {
			resp.Users = append(resp.Users, &userv1.User{Name: n, Uid: "uid-" + n[len("users/"):], DisplayName: "Name of " + n})
		}
		return resp
	}
	for _, test := range []struct {
		name    string
		prepare func(d *directory)
		want    shown
	}{
		{"all are there", func(d *directory) {
			d.batchGet = func(_ context.Context, names []string) (*userv1.BatchGetUsersResponse, error) {
				return here(names...), nil
			}
		}, shown{names: []string{"Name of users/anna", "Name of users/bert", "Name of users/anna"}}},
		{"one was purged a moment ago", func(d *directory) {
			d.users["bert"] = &userv1.User{Name: "users/bert", Uid: "uid-bert", DisplayName: "Bert"}
		}, shown{names: []string{"", "Bert", ""}}},
		{"the name is another user's by now", func(d *directory) {
			d.batchGet = func(_ context.Context, names []string) (*userv1.BatchGetUsersResponse, error) {
				resp := here(names...)
				resp.Users[0].Uid = "another"
				return resp, nil
			}
		}, shown{names: []string{"", "Name of users/bert", ""}}},
		{"the user service is away", func(d *directory) {
			d.batchGet = func(context.Context, []string) (*userv1.BatchGetUsersResponse, error) { return nil, context.Canceled }
		}, shown{names: []string{"", "", ""}, missing: true}},
		{"the user service hangs", func(d *directory) {
			d.batchGet = func(ctx context.Context, _ []string) (*userv1.BatchGetUsersResponse, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}, shown{names: []string{"", "", ""}, missing: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			store, d := newStore(t), newDirectory()
			known(t, store, updates(3, "anna", "bert"))
			test.prepare(d)
			c := serve(t, store, d, internal.FollowConfig{})
			resp := wantOK[*auditv1.ListChangesResponse](t)(c.ListChanges(soon(t), &auditv1.ListChangesRequest{}))
			got := shown{missing: resp.GetNamesMissing()}
			for _, change := range resp.GetChanges() {
				got.names = append(got.names, change.GetUserDisplayName())
			}
			if d := cmp.Diff(test.want, got, cmp.AllowUnexported(shown{})); d != "" {
				t.Errorf("the list (-want +got):\n%s", d)
			}
		})
	}
}

func TestPurgesThatTheHistoryDoesNotKnowYetHideNoNames(t *testing.T) {
	store, d := newStore(t), newDirectory()
	for i := range 20 {
		known(t, store, updates(1, fmt.Sprint("purged", i)))
	}
	known(t, store, updates(1, "bert"))
	d.users["bert"] = &userv1.User{Name: "users/bert", Uid: "uid-bert", DisplayName: "Bert"}
	c := serve(t, store, d, internal.FollowConfig{})
	resp := wantOK[*auditv1.ListChangesResponse](t)(c.ListChanges(soon(t), &auditv1.ListChangesRequest{OrderBy: "position desc"}))
	if got := resp.GetChanges()[0].GetUserDisplayName(); got != "Bert" || resp.GetNamesMissing() {
		t.Errorf("the name to show is %q (missing: %t); want Bert", got, resp.GetNamesMissing())
	}
}

func TestNobodyIsAskedForWhenAllArePurged(t *testing.T) {
	store, d := newStore(t), newDirectory()
	d.batchGet = func(context.Context, []string) (*userv1.BatchGetUsersResponse, error) {
		t.Error("the user service was asked")
		return nil, context.Canceled
	}
	known(t, store, updates(1, "anna"))
	l := wantOK[repository.Lease](t)(store.Acquire(t.Context(), "test", time.Minute))
	wantOK[repository.State](t)(store.Append(t.Context(), repository.Batch{Fence: l.Fence, From: l.State, Gone: []string{"uid-anna"}}, time.Minute))
	c := serve(t, store, d, internal.FollowConfig{})
	if resp := wantOK[*auditv1.ListChangesResponse](t)(c.ListChanges(soon(t), &auditv1.ListChangesRequest{})); resp.GetNamesMissing() {
		t.Error("names are said to be missing; want none to be had")
	}
}

func FuzzPageToken(f *testing.F) {
	f.Add("", "anna", false)
	f.Add(internal.SealPage(repository.Query{UserID: "anna"}, 7), "anna", false)
	f.Add("AAAAAAAAAAAA", "", true)
	f.Fuzz(func(t *testing.T, token, user string, desc bool) {
		q := repository.Query{UserID: user, Desc: desc}
		position, err := internal.OpenPage(q, token)
		if err == nil && token != "" && internal.SealPage(q, position) != token {
			t.Errorf("%q opens as %d, which is sealed as %q", token, position, internal.SealPage(q, position))
		}
		if err != nil && position != 0 {
			t.Errorf("%q opens as %d with the error %v", token, position, err)
		}
		if got, err := internal.OpenPage(q, internal.SealPage(q, int64(len(token))+1)); err != nil || got != int64(len(token))+1 {
			t.Errorf("a sealed position opens as %d, %v", got, err)
		}
	})
}
