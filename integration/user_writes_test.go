package integration_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

func TestUserWritesOnBothStores(t *testing.T) {
	onBothStores(t, func(t *testing.T, p *userPlatform) {
		c := p.run("a")
		for name, test := range map[string]func(*testing.T, userv1.UserServiceClient){
			"masks": userMasks, "masks that are wrong": userMasksRefused, "etags": userETags, "e-mails": userEmails, "names": userNames,
			"life": userLife, "dry runs": userDryRuns, "batches": userBatches,
		} {
			t.Run(name, func(t *testing.T) { test(t, c) })
		}
	})
}

func userMasks(t *testing.T, c userv1.UserServiceClient) {
	for name, tt := range map[string]struct {
		id   string
		mask []string
		in   *userv1.User
		want *userv1.User // what changes
	}{
		"none: what is populated": {"mask-none", nil, &userv1.User{DisplayName: "New"}, &userv1.User{Email: "mask-none@example.com", DisplayName: "New", GivenName: "G", Labels: map[string]string{"a": "1", "b": "2"}}},
		"star: all":               {"mask-star", []string{"*"}, &userv1.User{Email: "star@example.com"}, &userv1.User{Email: "star@example.com"}},
		"clears a text":           {"mask-text", []string{"given_name"}, &userv1.User{DisplayName: "ignored"}, &userv1.User{Email: "mask-text@example.com", DisplayName: "D", Labels: map[string]string{"a": "1", "b": "2"}}},
		"clears the map":          {"mask-map", []string{"labels"}, &userv1.User{}, &userv1.User{Email: "mask-map@example.com", DisplayName: "D", GivenName: "G"}},
		"one label": {"mask-label", []string{"labels.a", "labels.`b`", "labels.c-1"}, &userv1.User{Labels: map[string]string{"a": "", "c-1": "3", "d": "4"}},
			&userv1.User{Email: "mask-label@example.com", DisplayName: "D", GivenName: "G", Labels: map[string]string{"a": "", "c-1": "3"}}},
		"output only": {"mask-out", []string{"name", "uid", "etag", "state", "create_time", "delete_time.seconds"}, &userv1.User{Uid: "x", State: userv1.User_STATE_SUSPENDED, DeleteTime: timestamppb.Now()},
			&userv1.User{Email: "mask-out@example.com", DisplayName: "D", GivenName: "G", Labels: map[string]string{"a": "1", "b": "2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			before := must[*userv1.User](t)(c.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: tt.id, User: &userv1.User{
				Email: email(tt.id), DisplayName: "D", GivenName: "G", Labels: map[string]string{"a": "1", "b": "2"},
			}}))
			tt.in.Name = before.GetName()
			req := &userv1.UpdateUserRequest{User: tt.in, UpdateMask: &fieldmaskpb.FieldMask{Paths: tt.mask}}
			got := must[*userv1.User](t)(c.UpdateUser(bounded(t), req))
			tt.want.Name, tt.want.Uid, tt.want.State, tt.want.CreateTime = before.GetName(), before.GetUid(), before.GetState(), before.GetCreateTime()
			if diff := cmp.Diff(tt.want, got, protocmp.Transform(), protocmp.IgnoreFields(got, "etag", "update_time")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			again := must[*userv1.User](t)(c.UpdateUser(bounded(t), req))
			if diff := cmp.Diff(got, again, protocmp.Transform()); diff != "" {
				t.Errorf("the same update again is no no-op:\n%s", diff)
			}
		})
	}
}

func userMasksRefused(t *testing.T, c userv1.UserServiceClient) {
	makeUser(t, c, "masks-refused")
	for _, path := range []string{"nosuch", "displayName", "email.local", "labels.", "labels.A", "labels.a.b", "labels[0]", "", "*,email", "state.x", "users"} {
		_, err := c.UpdateUser(bounded(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/masks-refused", DisplayName: "x"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}})
		if err := refusal(err, codes.InvalidArgument, "INVALID_REQUEST", "update_mask"); err != nil {
			t.Errorf("path %q: %v", path, err)
		}
	}
	for name, req := range map[string]*userv1.UpdateUserRequest{
		"user.email":        {User: &userv1.User{Name: "users/masks-refused"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"*"}}},
		"update_mask":       {User: &userv1.User{Name: "users/masks-refused"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"*", "email"}}},
		"user.name":         {User: &userv1.User{Name: "users/-", DisplayName: "x"}},
		"user":              {},
		"user.display_name": {User: &userv1.User{Name: "users/masks-refused", DisplayName: "a\nb"}},
	} {
		_, err := c.UpdateUser(bounded(t), req)
		if err := refusal(err, codes.InvalidArgument, "INVALID_REQUEST", name); err != nil {
			t.Error(err)
		}
	}
}

func userETags(t *testing.T, c userv1.UserServiceClient) {
	u := makeUser(t, c, "etags")
	if e := u.GetEtag(); len(e) < 3 || e[0] != '"' || e[len(e)-1] != '"' {
		t.Errorf("etag %s is not strong and quoted", e)
	}
	if got := must[*userv1.User](t)(c.ActivateUser(bounded(t), &userv1.ActivateUserRequest{Name: u.GetName(), Etag: u.GetEtag()})); !proto.Equal(got, u) {
		t.Errorf("activating an active user changed it: %v", got)
	}
	next := must[*userv1.User](t)(c.SuspendUser(bounded(t), &userv1.SuspendUserRequest{Name: u.GetName(), Etag: u.GetEtag()}))
	for name, call := range map[string]func(etag string) error{
		"update": func(etag string) error {
			_, err := c.UpdateUser(bounded(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: u.GetName(), Etag: etag, DisplayName: "x"}, ValidateOnly: true})
			return err
		},
		"delete": func(etag string) error {
			_, err := c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: u.GetName(), Etag: etag, AllowMissing: true, ValidateOnly: true})
			return err
		},
		"activate": func(etag string) error {
			_, err := c.ActivateUser(bounded(t), &userv1.ActivateUserRequest{Name: u.GetName(), Etag: etag, ValidateOnly: true})
			return err
		},
	} {
		for _, stale := range []string{u.GetEtag(), "*", "W/" + next.GetEtag(), strings.Trim(next.GetEtag(), `"`), "\x00"} {
			err := call(stale)
			if wrong := refusal(err, codes.Aborted, "ETAG_MISMATCH", ""); wrong != nil {
				t.Errorf("%s with etag %q: %v", name, stale, wrong)
			} else if got := errs.From(errs.FromWire(err)).Meta("current_etag"); got != next.GetEtag() {
				t.Errorf("%s: current_etag is %q; want %q", name, got, next.GetEtag())
			}
		}
		if err := call(next.GetEtag()); err != nil {
			t.Errorf("%s with the current etag: %v", name, err)
		}
	}
	_, err := c.UpdateUser(bounded(t), &userv1.UpdateUserRequest{AllowMissing: true, User: &userv1.User{Name: "users/never-was", Etag: u.GetEtag(), Email: "never@example.com"}})
	if err := refusal(err, codes.NotFound, "USER_NOT_FOUND", ""); err != nil {
		t.Error("update with allow_missing and an etag of nobody:", err)
	}
}

// userEmails takes an address in one spelling and asks for it in others.
func userEmails(t *testing.T, c userv1.UserServiceClient) {
	for i, tt := range []struct {
		first, second string
		same          bool
	}{
		{"Straße@x.example", "STRASSE@X.EXAMPLE", true},
		{"jose\u0301@x.example", "JOSÉ@x.example", true},
		{"Å@x.example", "\u212B@x.example", true},           // the Ångström sign is canonically Å
		{"ΣΊΣΥΦΟΣ@x.example", "σίσυφος@x.example", true},    // final sigma
		{"\u0130li@x.example", "i\u0307LI@x.example", true}, // a dotted I folds to i and a dot
		{"\u0130a@x.example", "ia@x.example", false},        // and not to i: that is Turkish only
		{"ısı@x.example", "isi@x.example", false},
		{"ｆｕｌｌ@x.example", "full@x.example", false}, // compatibility forms stay apart
		{"ﬁsh@x.example", "FISH@x.example", true},   // a ligature folds fully
		{"plus+tag@x.example", "plus@x.example", false},
	} {
		first, second := "email-first-"+string(rune('a'+i)), "email-second-"+string(rune('a'+i))
		u := must[*userv1.User](t)(c.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: first, User: &userv1.User{Email: tt.first}}))
		_, err := c.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: second, User: &userv1.User{Email: tt.second}})
		if !tt.same {
			if err != nil {
				t.Errorf("%q beside %q: %v", tt.second, tt.first, err)
			}
			continue
		}
		if wrong := refusal(err, codes.AlreadyExists, "EMAIL_TAKEN", ""); wrong != nil {
			t.Errorf("%q beside %q: %v", tt.second, tt.first, wrong)
			continue
		}
		// A deleted user holds its name and not its address.
		must[*userv1.User](t)(c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: u.GetName()}))
		must[*userv1.User](t)(c.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: second, User: &userv1.User{Email: tt.second}}))
		_, err = c.UndeleteUser(bounded(t), &userv1.UndeleteUserRequest{Name: u.GetName(), ValidateOnly: i%2 == 0})
		if err := refusal(err, codes.AlreadyExists, "EMAIL_TAKEN", ""); err != nil {
			t.Error("undelete:", err)
		}
	}
}

func userNames(t *testing.T, c userv1.UserServiceClient) {
	for _, id := range []string{"abcd", strings.Repeat("a", 63), "a--b", "u-" + uuid.NewString(), "a123"} {
		if u := makeUser(t, c, id); u.GetName() != "users/"+id {
			t.Errorf("ID %q became %q", id, u.GetName())
		}
	}
	wrong := []string{"abc", strings.Repeat("a", 64), "-abc", "abc-", "Abcd", "1abc", "ab_c", "ab.c", "ab c", "äbcd", "abcd\n", "abcd/x", uuid.Nil.String()}
	for _, id := range wrong {
		_, err := c.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: id, User: &userv1.User{Email: "x@example.com"}})
		if err := refusal(err, codes.InvalidArgument, "INVALID_REQUEST", "user_id"); err != nil {
			t.Errorf("ID %q: %v", id, err)
		}
	}
	names := []string{"", "users/", "users/-", "users/*", "abcd", "/users/abcd", "users/abcd/", "Users/abcd", "organisations/x/users/abcd", "users/abcd\x00"}
	for _, id := range wrong {
		names = append(names, "users/"+id)
	}
	for _, name := range names {
		_, get := c.GetUser(bounded(t), &userv1.GetUserRequest{Name: name})
		_, del := c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: name, AllowMissing: true})
		_, batch := c.BatchGetUsers(bounded(t), &userv1.BatchGetUsersRequest{Names: []string{"users/abcd", name}})
		for field, err := range map[string]error{"name": get, "names[1]": batch} {
			if err := refusal(err, codes.InvalidArgument, "INVALID_REQUEST", field); err != nil {
				t.Errorf("name %q: %v", name, err)
			}
		}
		if err := refusal(del, codes.InvalidArgument, "INVALID_REQUEST", "name"); err != nil {
			t.Errorf("delete %q: %v", name, err)
		}
	}
}
