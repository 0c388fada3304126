package internal_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/internal"
)

// Whatever a caller puts into a list: it is answered, or refused as the
// caller's fault; what passes the checks is understood by the store.
func FuzzListUsers(f *testing.F) {
	h, err := internal.NewHandler(newStore(f), internal.HandlerConfig{})
	if err != nil {
		f.Fatal(err)
	}
	for _, filter := range []string{
		`state = ACTIVE AND NOT labels.team = "x*"`, `email:"x" OR create_time > "2026-01-01T00:00:00Z"`, `name = "users/*"`,
		`labels."a-b" != "*x*"`, `delete_time:*`, `-(state = "SUSPENDED")`, `((`, `a(b(c(`, `display_name = "\x00"`, `x.y.z = 1.5`,
	} {
		f.Add(filter, "create_time desc, name", "")
	}
	f.Add("", "email", "EQAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, filter, orderBy, token string) {
		for _, req := range []*userv1.ListUsersRequest{
			{Filter: filter}, {OrderBy: orderBy}, {PageToken: token}, {Filter: filter, OrderBy: orderBy, PageToken: token, ShowDeleted: true},
		} {
			if _, err := h.ListUsers(t.Context(), req); err != nil && errs.Code(err) != codes.InvalidArgument {
				t.Errorf("%v: %v", req, err)
			}
		}
	})
}

// Whatever a caller wants to store: it is stored and comes back as it was
// answered, or it is refused as the caller's fault.
func FuzzCreateUser(f *testing.F) {
	h, err := internal.NewHandler(newStore(f), internal.HandlerConfig{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("anna", "Straße@example.com", "C\u0327a va", "team", "e\u0301")
	f.Add("", "a@b", "\x00", "Team", "\u202e")
	f.Add("x-7y", "İ@ﬃ.example", "\xff", "k", "")
	f.Fuzz(func(t *testing.T, id, email, name, key, value string) {
		u := &userv1.User{Email: email, DisplayName: name, Labels: map[string]string{key: value}}
		made, err := h.CreateUser(t.Context(), &userv1.CreateUserRequest{UserId: id, User: u})
		switch code := errs.Code(err); {
		case code == codes.InvalidArgument || code == codes.AlreadyExists:
			return
		case err != nil:
			t.Fatal(err)
		}
		got, err := h.GetUser(t.Context(), &userv1.GetUserRequest{Name: made.GetName()})
		if err != nil || got.GetEtag() != made.GetEtag() || got.GetEmail() != made.GetEmail() || got.GetDisplayName() != made.GetDisplayName() {
			t.Fatalf("made %v, got %v, %v", made, got, err)
		}
		// Written back, it changes nothing: normalising is idempotent.
		same, err := h.UpdateUser(t.Context(), &userv1.UpdateUserRequest{User: got})
		if err != nil || same.GetEtag() != got.GetEtag() {
			t.Fatalf("written back %v, got %v, %v", got, same, err)
		}
		if _, err := h.CreateUser(t.Context(), &userv1.CreateUserRequest{User: &userv1.User{Email: made.GetEmail()}}); errs.Reason(err) != internal.ReasonEmailTaken {
			t.Fatalf("%q could be taken twice: %v", made.GetEmail(), err)
		}
	})
}
