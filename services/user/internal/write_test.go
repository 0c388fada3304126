package internal_test

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/internal"
)

func TestCreateNormalisesAndIgnoresOutputOnlyFields(t *testing.T) {
	c := newInstance(t)
	got := create(t, c, "anna", &userv1.User{
		Name: "users/other", Uid: "x", Etag: "x", State: userv1.User_STATE_SUSPENDED, CreateTime: timestamppb.Now(), DeleteTime: timestamppb.Now(),
		Email: "Anna@Example.com", DisplayName: "C\u0327a va", Labels: map[string]string{"team": "e\u0301"},
	})
	want := &userv1.User{
		Name: "users/anna", Email: "Anna@Example.com", DisplayName: "Ça va", Labels: map[string]string{"team": "é"}, State: userv1.User_STATE_ACTIVE,
	}
	if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(&userv1.User{}, "uid", "etag", "create_time", "update_time")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.GetUid() == "x" || got.GetEtag() == "x" {
		t.Errorf("output-only fields were taken from the caller: %v", got)
	}
	made := wantOK[*userv1.User](t)(c.CreateUser(soon(t), &userv1.CreateUserRequest{User: &userv1.User{Email: "x@example.com"}}))
	wantOK[*userv1.User](t)(c.GetUser(soon(t), &userv1.GetUserRequest{Name: made.GetName()}))
}

func TestCreateChecksWhatItIsGiven(t *testing.T) {
	c := newInstance(t)
	labels := map[string]string{}
	for i := range 65 {
		labels["k"+strings.Repeat("x", i%60)+string(rune('a'+i/60))] = ""
	}
	nfd := strings.Repeat("e\u0301", 128) // 256 code points, 128 after NFC
	for name, tt := range map[string]struct {
		req   *userv1.CreateUserRequest
		field string // empty: it is right
	}{
		"no user":           {&userv1.CreateUserRequest{}, "user"},
		"no e-mail":         {&userv1.CreateUserRequest{User: &userv1.User{}}, "user.email"},
		"no domain":         {&userv1.CreateUserRequest{User: &userv1.User{Email: "anna@"}}, "user.email"},
		"no local part":     {&userv1.CreateUserRequest{User: &userv1.User{Email: "@example.com"}}, "user.email"},
		"space in e-mail":   {&userv1.CreateUserRequest{User: &userv1.User{Email: "a b@example.com"}}, "user.email"},
		"long e-mail":       {&userv1.CreateUserRequest{User: &userv1.User{Email: strings.Repeat("a", 250) + "@x.de"}}, "user.email"},
		"e-mail in Unicode": {&userv1.CreateUserRequest{User: &userv1.User{Email: "jürgen@bücher.example"}}, ""},
		"bad ID":            {&userv1.CreateUserRequest{User: &userv1.User{Email: "a@b.c"}, UserId: "No"}, "user_id"},
		"128 code points":   {&userv1.CreateUserRequest{User: &userv1.User{Email: "b@b.c", DisplayName: nfd}}, ""},
		"129 code points":   {&userv1.CreateUserRequest{User: &userv1.User{Email: "c@b.c", DisplayName: nfd + "x"}}, "user.display_name"},
		"emoji":             {&userv1.CreateUserRequest{User: &userv1.User{Email: "d@b.c", GivenName: strings.Repeat("😀", 128)}}, ""},
		"control character": {&userv1.CreateUserRequest{User: &userv1.User{Email: "e@b.c", FamilyName: "a\x00b"}}, "user.family_name"},
		"65 labels":         {&userv1.CreateUserRequest{User: &userv1.User{Email: "f@b.c", Labels: labels}}, "user.labels"},
		"label key":         {&userv1.CreateUserRequest{User: &userv1.User{Email: "g@b.c", Labels: map[string]string{"Team": "x"}}}, "user.labels"},
		"label value":       {&userv1.CreateUserRequest{User: &userv1.User{Email: "h@b.c", Labels: map[string]string{"team": nfd + "x"}}}, "user.labels.team"},
		"request ID":        {&userv1.CreateUserRequest{User: &userv1.User{Email: "i@b.c"}, RequestId: "7"}, "request_id"},
		"UUID of version 1": {&userv1.CreateUserRequest{User: &userv1.User{Email: "i@b.c"}, RequestId: "00000000-0000-1000-8000-000000000000"}, "request_id"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.CreateUser(soon(t), tt.req)
			if tt.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantError(t, err, codes.InvalidArgument, internal.ReasonInvalidRequest, tt.field)
		})
	}
	t.Run("all faults at once", func(t *testing.T) {
		_, err := c.CreateUser(soon(t), &userv1.CreateUserRequest{User: &userv1.User{DisplayName: nfd + "x"}, UserId: "No"})
		for _, field := range []string{"user.email", "user.display_name", "user_id"} {
			wantError(t, err, codes.InvalidArgument, internal.ReasonInvalidRequest, field)
		}
	})
}

func TestNamesAndEmailsAreUnique(t *testing.T) {
	c := newInstance(t)
	create(t, c, "anna", &userv1.User{Email: "Straße@example.com"})
	_, err := c.CreateUser(soon(t), &userv1.CreateUserRequest{User: &userv1.User{Email: "x@example.com"}, UserId: "anna"})
	if e := wantError(t, err, codes.AlreadyExists, internal.ReasonUserExists, ""); e.Meta("name") != "users/anna" {
		t.Errorf("metadata is %v", e.Metadata())
	}
	_, err = c.CreateUser(soon(t), &userv1.CreateUserRequest{User: &userv1.User{Email: "STRASSE@EXAMPLE.COM"}, UserId: "bert"})
	e := wantError(t, err, codes.AlreadyExists, internal.ReasonEmailTaken, "")
	if strings.Contains(strings.ToLower(e.Error()), "strasse") {
		t.Errorf("the error tells whose e-mail it is: %v", e)
	}
	create(t, c, "bert", nil)
	_, err = c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/bert", Email: "strasse@example.com"}})
	wantError(t, err, codes.AlreadyExists, internal.ReasonEmailTaken, "")

	// A deleted user holds the name, not the e-mail.
	wantOK[*userv1.User](t)(c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/anna"}))
	_, err = c.CreateUser(soon(t), &userv1.CreateUserRequest{User: &userv1.User{Email: "x@example.com"}, UserId: "anna"})
	if e := wantError(t, err, codes.AlreadyExists, internal.ReasonUserExists, ""); e.Meta("deleted") != "true" {
		t.Errorf("metadata is %v", e.Metadata())
	}
	create(t, c, "carl", &userv1.User{Email: "strasse@example.com"})
	_, err = c.UndeleteUser(soon(t), &userv1.UndeleteUserRequest{Name: "users/anna"})
	wantError(t, err, codes.AlreadyExists, internal.ReasonEmailTaken, "")
	// One's own address in another spelling is no conflict.
	wantOK[*userv1.User](t)(c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/carl", Email: "STRASSE@example.com"}}))
}

func TestUpdateChangesWhatTheMaskNames(t *testing.T) {
	c := newInstance(t)
	base := func() *userv1.User {
		return &userv1.User{DisplayName: "Anna", GivenName: "A", FamilyName: "B", Labels: map[string]string{"team": "infra", "site": "x"}}
	}
	tests := []struct {
		name  string
		mask  []string
		from  *userv1.User
		edit  func(*userv1.User) // what changes of base
		field string             // a refused field
	}{
		{"one field", []string{"display_name"}, &userv1.User{DisplayName: "New", GivenName: "ignored"}, func(u *userv1.User) { u.DisplayName = "New" }, ""},
		{"clears a field", []string{"given_name"}, &userv1.User{}, func(u *userv1.User) { u.GivenName = "" }, ""},
		{"populated without a mask", nil, &userv1.User{FamilyName: "C"}, func(u *userv1.User) { u.FamilyName = "C" }, ""},
		{"labels without a mask", nil, &userv1.User{Labels: map[string]string{"new": "1"}}, func(u *userv1.User) { u.Labels = map[string]string{"new": "1"} }, ""},
		{"all", []string{"*"}, &userv1.User{Email: "new@example.com", Labels: map[string]string{"a": "b"}}, func(u *userv1.User) {
			u.Email, u.DisplayName, u.GivenName, u.FamilyName, u.Labels = "new@example.com", "", "", "", map[string]string{"a": "b"}
		}, ""},
		{"one label", []string{"labels.team"}, &userv1.User{Labels: map[string]string{"team": "sales", "other": "ignored"}}, func(u *userv1.User) { u.Labels["team"] = "sales" }, ""},
		{"removes a label", []string{"labels.site"}, &userv1.User{}, func(u *userv1.User) { delete(u.Labels, "site") }, ""},
		{"label in backticks", []string{"labels.`new`"}, &userv1.User{Labels: map[string]string{"new": "1"}}, func(u *userv1.User) { u.Labels["new"] = "1" }, ""},
		{"output-only fields are ignored", []string{"uid", "name", "etag", "create_time", "update_time.seconds", "delete_time", "display_name"}, &userv1.User{Uid: "x", DisplayName: "New"}, func(u *userv1.User) { u.DisplayName = "New" }, ""},
		{"state is never set", []string{"state"}, &userv1.User{State: userv1.User_STATE_SUSPENDED}, func(*userv1.User) {}, ""},
		{"fields outside the mask are not even checked", []string{"display_name"}, &userv1.User{DisplayName: "New", Email: "no address"}, func(u *userv1.User) { u.DisplayName = "New" }, ""},
		{"unknown path", []string{"display_name", "nosuch"}, &userv1.User{}, nil, "update_mask"},
		{"path below a text", []string{"email.domain"}, &userv1.User{}, nil, "update_mask"},
		{"star and more", []string{"*", "email"}, &userv1.User{Email: "a@b.c"}, nil, "update_mask"},
		{"label key", []string{"labels.A"}, &userv1.User{}, nil, "update_mask"},
		{"e-mail cannot be cleared", []string{"email"}, &userv1.User{}, nil, "user.email"},
		{"nor by replacing all", []string{"*"}, &userv1.User{DisplayName: "x"}, nil, "user.email"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id := "user-" + string(rune('a'+i))
			before := create(t, c, id, base())
			tt.from.Name = "users/" + id
			req := &userv1.UpdateUserRequest{User: tt.from}
			if tt.mask != nil {
				req.UpdateMask = &fieldmaskpb.FieldMask{Paths: tt.mask}
			}
			got, err := c.UpdateUser(soon(t), req)
			if tt.field != "" {
				wantError(t, err, codes.InvalidArgument, internal.ReasonInvalidRequest, tt.field)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := base()
			want.Email, want.Name, want.Uid, want.State, want.CreateTime = before.GetEmail(), before.GetName(), before.GetUid(), before.GetState(), before.GetCreateTime()
			tt.edit(want)
			if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(&userv1.User{}, "etag", "update_time")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if want.GetEmail() == "new@example.com" { // free it for others
				wantOK[*userv1.User](t)(c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: got.GetName()}))
			}
		})
	}
}

func TestETagsFollowTheContent(t *testing.T) {
	c := newInstance(t)
	first := create(t, c, "anna", &userv1.User{DisplayName: "Anna"})
	same := wantOK[*userv1.User](t)(c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: first, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"*"}}}))
	if diff := cmp.Diff(first, same, protocmp.Transform()); diff != "" {
		t.Errorf("writing back what was read changes it:\n%s", diff)
	}
	second := wantOK[*userv1.User](t)(c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/anna", Etag: first.GetEtag(), DisplayName: "New"}}))
	if second.GetEtag() == first.GetEtag() {
		t.Fatal("a change keeps the etag")
	}
	stale := first.GetEtag()
	for name, call := range map[string]func() (*userv1.User, error){
		"update": func() (*userv1.User, error) {
			return c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/anna", Etag: stale, DisplayName: "x"}})
		},
		"delete": func() (*userv1.User, error) {
			return c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/anna", Etag: stale})
		},
		"suspend": func() (*userv1.User, error) {
			return c.SuspendUser(soon(t), &userv1.SuspendUserRequest{Name: "users/anna", Etag: stale})
		},
		"activate": func() (*userv1.User, error) {
			return c.ActivateUser(soon(t), &userv1.ActivateUserRequest{Name: "users/anna", Etag: stale})
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := call()
			if e := wantError(t, err, codes.Aborted, internal.ReasonETagMismatch, ""); e.Meta("current_etag") != second.GetEtag() {
				t.Errorf("current_etag is %q; want %q", e.Meta("current_etag"), second.GetEtag())
			}
		})
	}
	gone := wantOK[*userv1.User](t)(c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/anna", Etag: second.GetEtag()}))
	_, err := c.UndeleteUser(soon(t), &userv1.UndeleteUserRequest{Name: "users/anna", Etag: stale})
	wantError(t, err, codes.Aborted, internal.ReasonETagMismatch, "")
	wantOK[*userv1.User](t)(c.UndeleteUser(soon(t), &userv1.UndeleteUserRequest{Name: "users/anna", Etag: gone.GetEtag()}))
}

func TestAllowMissingCreates(t *testing.T) {
	c := newInstance(t)
	_, err := c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/anna", Email: "a@example.com"}})
	wantError(t, err, codes.NotFound, internal.ReasonUserNotFound, "")
	req := &userv1.UpdateUserRequest{
		User: &userv1.User{Name: "users/anna", Email: "a@example.com", DisplayName: "Anna"}, AllowMissing: true,
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"given_name"}}, // ignored when it creates
	}
	got := wantOK[*userv1.User](t)(c.UpdateUser(soon(t), req))
	if got.GetDisplayName() != "Anna" || got.GetUid() == "" {
		t.Errorf("created %v", got)
	}
	// It exists now: an update that could not create may still change it.
	got = wantOK[*userv1.User](t)(c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/anna", DisplayName: "B"}, AllowMissing: true}))
	if got.GetDisplayName() != "B" {
		t.Errorf("updated %v", got)
	}
	_, err = c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/bert", DisplayName: "B"}, AllowMissing: true})
	wantError(t, err, codes.InvalidArgument, internal.ReasonInvalidRequest, "user.email")
	// An etag is that of a user who existed: without one there is nothing to update.
	_, err = c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/carl", Email: "c@example.com", Etag: got.GetEtag()}, AllowMissing: true})
	wantError(t, err, codes.NotFound, internal.ReasonUserNotFound, "")
}

func TestDeleteUndelete(t *testing.T) {
	c := newInstance(t)
	create(t, c, "anna", nil)
	wantOK[*userv1.User](t)(c.SuspendUser(soon(t), &userv1.SuspendUserRequest{Name: "users/anna"}))
	_, err := c.UndeleteUser(soon(t), &userv1.UndeleteUserRequest{Name: "users/anna"})
	wantError(t, err, codes.AlreadyExists, internal.ReasonUserNotDeleted, "")
	if got, want := status.Convert(err).Message(), `user "users/anna" is not deleted; there is nothing to undo`; got != want {
		t.Errorf("undelete of a live user says %q, want %q", got, want)
	}
	gone := wantOK[*userv1.User](t)(c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/anna"}))
	if life := gone.GetPurgeTime().AsTime().Sub(gone.GetDeleteTime().AsTime()); life.Hours() != 720 {
		t.Errorf("deleted at %v, purged at %v; want 30 days", gone.GetDeleteTime(), gone.GetPurgeTime())
	}
	_, err = c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/anna"})
	wantError(t, err, codes.NotFound, internal.ReasonUserNotFound, "")
	if got, want := status.Convert(err).Message(), `user "users/anna" is deleted already; set allow_missing if that is as good`; got != want {
		t.Errorf("delete of a deleted user says %q, want %q", got, want)
	}
	again := wantOK[*userv1.User](t)(c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/anna", AllowMissing: true}))
	if diff := cmp.Diff(gone, again, protocmp.Transform()); diff != "" {
		t.Errorf("the second delete changed it:\n%s", diff)
	}
	never := wantOK[*userv1.User](t)(c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/nobody", AllowMissing: true}))
	if diff := cmp.Diff(&userv1.User{Name: "users/nobody"}, never, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	for name, err := range map[string]error{
		"update":   second(c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/anna", DisplayName: "x"}, AllowMissing: true})),
		"suspend":  second(c.SuspendUser(soon(t), &userv1.SuspendUserRequest{Name: "users/anna"})),
		"activate": second(c.ActivateUser(soon(t), &userv1.ActivateUserRequest{Name: "users/anna"})),
	} {
		t.Run(name+" wants a live user", func(t *testing.T) {
			wantError(t, err, codes.FailedPrecondition, internal.ReasonUserDeleted, "")
		})
	}
	back := wantOK[*userv1.User](t)(c.UndeleteUser(soon(t), &userv1.UndeleteUserRequest{Name: "users/anna"}))
	if back.GetDeleteTime() != nil || back.GetPurgeTime() != nil || back.GetState() != userv1.User_STATE_SUSPENDED || back.GetUid() != gone.GetUid() {
		t.Errorf("undeleted as %v", back)
	}
	_, err = c.UndeleteUser(soon(t), &userv1.UndeleteUserRequest{Name: "users/nobody"})
	wantError(t, err, codes.NotFound, internal.ReasonUserNotFound, "")
}

func second[T any](_ T, err error) error { return err }

func TestSuspendAndActivateAreIdempotent(t *testing.T) {
	c := newInstance(t)
	active := create(t, c, "anna", nil)
	same := wantOK[*userv1.User](t)(c.ActivateUser(soon(t), &userv1.ActivateUserRequest{Name: "users/anna"}))
	if same.GetEtag() != active.GetEtag() {
		t.Error("activating an active user changes it")
	}
	suspended := wantOK[*userv1.User](t)(c.SuspendUser(soon(t), &userv1.SuspendUserRequest{Name: "users/anna"}))
	again := wantOK[*userv1.User](t)(c.SuspendUser(soon(t), &userv1.SuspendUserRequest{Name: "users/anna"}))
	if suspended.GetState() != userv1.User_STATE_SUSPENDED || suspended.GetEtag() == active.GetEtag() || again.GetEtag() != suspended.GetEtag() {
		t.Errorf("active %v, suspended %v, again %v", active, suspended, again)
	}
}

func TestValidateOnlyStoresNothing(t *testing.T) {
	c := newInstance(t)
	create(t, c, "anna", nil)
	id := uuid.NewString()
	would := wantOK[*userv1.User](t)(c.CreateUser(soon(t), &userv1.CreateUserRequest{User: &userv1.User{Email: "b@example.com"}, UserId: "bert", ValidateOnly: true, RequestId: id}))
	if would.GetName() != "users/bert" {
		t.Errorf("would create %v", would)
	}
	_, err := c.GetUser(soon(t), &userv1.GetUserRequest{Name: "users/bert"})
	wantError(t, err, codes.NotFound, internal.ReasonUserNotFound, "")
	_, err = c.CreateUser(soon(t), &userv1.CreateUserRequest{User: &userv1.User{Email: "ANNA@example.com"}, ValidateOnly: true})
	wantError(t, err, codes.AlreadyExists, internal.ReasonEmailTaken, "")
	// The request ID of the rehearsal is not used up.
	wantOK[*userv1.User](t)(c.CreateUser(soon(t), &userv1.CreateUserRequest{User: &userv1.User{Email: "b@example.com"}, UserId: "bert", RequestId: id}))
	before := wantOK[*userv1.User](t)(c.GetUser(soon(t), &userv1.GetUserRequest{Name: "users/anna"}))
	for name, call := range map[string]func() (*userv1.User, error){
		"update": func() (*userv1.User, error) {
			return c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/anna", DisplayName: "x"}, ValidateOnly: true})
		},
		"delete": func() (*userv1.User, error) {
			return c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/anna", ValidateOnly: true})
		},
		"suspend": func() (*userv1.User, error) {
			return c.SuspendUser(soon(t), &userv1.SuspendUserRequest{Name: "users/anna", ValidateOnly: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			wantOK[*userv1.User](t)(call())
			after := wantOK[*userv1.User](t)(c.GetUser(soon(t), &userv1.GetUserRequest{Name: "users/anna"}))
			if diff := cmp.Diff(before, after, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequestsAreDoneOnceOnAnyInstance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	a := serve(t, openStore(t, path), internal.HandlerConfig{})
	b := serve(t, openStore(t, path), internal.HandlerConfig{})
	create(t, a, "anna", nil)
	writes := map[string]func(c *instance, id, variant string) (*userv1.User, error){
		"create": func(c *instance, id, variant string) (*userv1.User, error) {
			return c.CreateUser(soon(t), &userv1.CreateUserRequest{User: &userv1.User{Email: variant + "created@example.com"}, RequestId: id})
		},
		"update": func(c *instance, id, variant string) (*userv1.User, error) {
			return c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/anna", DisplayName: "New" + variant}, RequestId: id})
		},
		"suspend": func(c *instance, id, variant string) (*userv1.User, error) {
			return c.SuspendUser(soon(t), &userv1.SuspendUserRequest{Name: "users/anna", RequestId: id, Etag: variant})
		},
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			id := uuid.NewString()
			first := wantOK[*userv1.User](t)(write(a, id, ""))
			// The answer stays the first one, whatever happened since.
			wantOK[*userv1.User](t)(a.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/anna", GivenName: name}}))
			for i, c := range []*instance{a, b} {
				replay := wantOK[*userv1.User](t)(write(c, strings.ToUpper(id), ""))
				if diff := cmp.Diff(first, replay, protocmp.Transform()); diff != "" {
					t.Errorf("replay at instance %d differs:\n%s", i, diff)
				}
				_, err := write(c, id, "x")
				wantError(t, err, codes.InvalidArgument, internal.ReasonRequestIDReused, "request_id")
			}
			_, err := a.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/anna", RequestId: id})
			wantError(t, err, codes.InvalidArgument, internal.ReasonRequestIDReused, "request_id")
		})
	}
	t.Run("delete, undelete", func(t *testing.T) {
		del, und := uuid.NewString(), uuid.NewString()
		for range 2 {
			gone := wantOK[*userv1.User](t)(b.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/anna", RequestId: del}))
			if gone.GetDeleteTime() == nil {
				t.Error("not deleted")
			}
		}
		for range 2 {
			back := wantOK[*userv1.User](t)(a.UndeleteUser(soon(t), &userv1.UndeleteUserRequest{Name: "users/anna", RequestId: und}))
			if back.GetDeleteTime() != nil {
				t.Error("not undeleted")
			}
		}
	})
	t.Run("many at once", func(t *testing.T) {
		id := uuid.NewString()
		names := make([]string, 16)
		var wg sync.WaitGroup
		for i := range names {
			wg.Go(func() {
				u, err := []*instance{a, b}[i%2].CreateUser(soon(t), &userv1.CreateUserRequest{User: &userv1.User{Email: "once@example.com"}, RequestId: id})
				if err != nil {
					t.Error(err)
				}
				names[i] = u.GetName()
			})
		}
		wg.Wait()
		for _, n := range names {
			if n != names[0] {
				t.Errorf("one request created %v", names)
			}
		}
	})
}
