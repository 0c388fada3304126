package internal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/internal"
)

func TestGetReturnsTheUserAlsoADeletedOne(t *testing.T) {
	c := newInstance(t)
	want := create(t, c, "anna", &userv1.User{DisplayName: "Anna", Labels: map[string]string{"team": "infra"}})
	got := wantOK[*userv1.User](t)(c.GetUser(soon(t), &userv1.GetUserRequest{Name: "users/anna"}))
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("get differs from create (-create +get):\n%s", diff)
	}
	if got.GetUid() == "" || !strings.HasPrefix(got.GetEtag(), `"`) || got.GetCreateTime() == nil || got.GetState() != userv1.User_STATE_ACTIVE {
		t.Errorf("output-only fields are not filled in: %v", got)
	}
	deleted := wantOK[*userv1.User](t)(c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/anna"}))
	got = wantOK[*userv1.User](t)(c.GetUser(soon(t), &userv1.GetUserRequest{Name: "users/anna"}))
	if diff := cmp.Diff(deleted, got, protocmp.Transform()); diff != "" {
		t.Errorf("a deleted user is not returned as deleted:\n%s", diff)
	}
}

func TestGetRefusesWhatIsNoName(t *testing.T) {
	c := newInstance(t)
	for _, name := range []string{"", "anna", "users/", "users/abc", "users/Anna", "users/1anna", "users/anna-", "users/anna/x", "users/" + strings.Repeat("a", 64), "people/anna", "users/-"} {
		t.Run(name, func(t *testing.T) {
			_, err := c.GetUser(soon(t), &userv1.GetUserRequest{Name: name})
			wantError(t, err, codes.InvalidArgument, internal.ReasonInvalidRequest, "name")
		})
	}
	t.Run("unknown", func(t *testing.T) {
		_, err := c.GetUser(soon(t), &userv1.GetUserRequest{Name: "users/nobody"})
		e := wantError(t, err, codes.NotFound, internal.ReasonUserNotFound, "")
		if e.Meta("name") != "users/nobody" || e.Resource().GetResourceName() != "users/nobody" {
			t.Errorf("details do not name the user: %v %v", e.Metadata(), e.Resource())
		}
	})
}

func TestBatchGetAnswersAllInOrderOrNone(t *testing.T) {
	c := newInstance(t)
	for _, id := range []string{"anna", "bert", "carl"} {
		create(t, c, id, nil)
	}
	names := []string{"users/carl", "users/anna", "users/carl", "users/bert"}
	got := wantOK[*userv1.BatchGetUsersResponse](t)(c.BatchGetUsers(soon(t), &userv1.BatchGetUsersRequest{Names: names}))
	if diff := cmp.Diff(names, namesOf(got.GetUsers())); diff != "" {
		t.Errorf("order differs (-want +got):\n%s", diff)
	}
	_, err := c.BatchGetUsers(soon(t), &userv1.BatchGetUsersRequest{Names: []string{"users/anna", "users/nobody"}})
	if e := wantError(t, err, codes.NotFound, internal.ReasonUserNotFound, "names[1]"); e.Meta("index") != "1" {
		t.Errorf("metadata is %v; want index 1", e.Metadata())
	}
	_, err = c.BatchGetUsers(soon(t), &userv1.BatchGetUsersRequest{Names: []string{"users/anna", "x"}})
	wantError(t, err, codes.InvalidArgument, internal.ReasonInvalidRequest, "names[1]")
	_, err = c.BatchGetUsers(soon(t), &userv1.BatchGetUsersRequest{})
	wantError(t, err, codes.InvalidArgument, internal.ReasonInvalidRequest, "names")
	_, err = c.BatchGetUsers(soon(t), &userv1.BatchGetUsersRequest{Names: make([]string, 1001)})
	wantError(t, err, codes.InvalidArgument, internal.ReasonInvalidRequest, "names")
}

func namesOf(users []*userv1.User) []string {
	names := make([]string, len(users))
	for i, u := range users {
		names[i] = u.GetName()
	}
	return names
}

// listAll follows the pages of a list.
func listAll(t testing.TB, c userv1.UserServiceClient, req *userv1.ListUsersRequest) []*userv1.User {
	t.Helper()
	var all []*userv1.User
	for {
		page := wantOK[*userv1.ListUsersResponse](t)(c.ListUsers(soon(t), req))
		all = append(all, page.GetUsers()...)
		if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
			return all
		}
	}
}

func TestListFilters(t *testing.T) {
	c := newInstance(t)
	create(t, c, "anna", &userv1.User{Email: "Anna@Example.com", DisplayName: "Anna A", GivenName: "Anna", Labels: map[string]string{"team": "infra", "level-2": "x"}})
	create(t, c, "bert", &userv1.User{Email: "STRASSE@example.org", DisplayName: "Bert B", FamilyName: "Berg", Labels: map[string]string{"team": "sales"}})
	create(t, c, "carl", &userv1.User{DisplayName: "Ça va"})
	create(t, c, "dora", &userv1.User{})
	wantOK[*userv1.User](t)(c.SuspendUser(soon(t), &userv1.SuspendUserRequest{Name: "users/bert"}))
	wantOK[*userv1.User](t)(c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/dora"}))
	tests := []struct {
		filter  string
		deleted bool
		want    string
	}{
		{``, false, "anna bert carl"},
		{`  `, true, "anna bert carl dora"},
		{`name = "users/anna"`, false, "anna"},
		{`name = "users/a*"`, false, "anna"},
		{`name > "users/anna"`, false, "bert carl"},
		{`email = "anna@EXAMPLE.com"`, false, "anna"},
		{`email = "straße@example.ORG"`, false, "bert"},
		{`email = "*example*"`, false, "anna bert carl"},
		{`email:"example.org"`, false, "bert"},
		{`display_name = "Ça va"`, false, "carl"},
		{"display_name = \"C\u0327a va\"", false, "carl"},
		{`display_name = "Anna*" OR given_name = "Bert"`, false, "anna"},
		{`NOT display_name = "Anna*"`, false, "bert carl"},
		{`-display_name = "Anna*"`, false, "bert carl"},
		{`display_name != "Anna*"`, false, "bert carl"},
		{`family_name:*`, false, "bert"},
		{`state = SUSPENDED`, false, "bert"},
		{`state = STATE_ACTIVE`, false, "anna carl"},
		{`state != "ACTIVE"`, false, "bert"},
		{`labels.team = "infra"`, false, "anna"},
		{`labels:team`, false, "anna bert"},
		{`labels.team:*`, false, "anna bert"},
		{`labels."level-2" = "x"`, false, "anna"},
		{`labels.team != "in*"`, false, "bert"},
		{`create_time > "2020-01-01T00:00:00Z" AND state = ACTIVE`, false, "anna carl"},
		{`create_time < timestamp("2020-01-01T00:00:00Z")`, false, ""},
		{`delete_time:*`, true, "dora"},
		{`(state = ACTIVE OR labels.team = "sales") AND NOT labels:team`, false, "carl"},
	}
	for _, tt := range tests {
		t.Run(tt.filter, func(t *testing.T) {
			users := listAll(t, c, &userv1.ListUsersRequest{Filter: tt.filter, ShowDeleted: tt.deleted, PageSize: 2})
			got := strings.ReplaceAll(strings.Join(namesOf(users), " "), "users/", "")
			if got != tt.want {
				t.Errorf("filter %s gives %q; want %q", tt.filter, got, tt.want)
			}
		})
	}
}

func TestListRefusesWrongFilters(t *testing.T) {
	c := newInstance(t)
	for _, filter := range []string{
		`nosuch = "x"`, `state = GONE`, `state = "GONE"`, `state < ACTIVE`, `"x" = name`, `anna`, `display_name`, `name = 5`, `name = "anna"`,
		`create_time = "yesterday"`, `create_time = 5`, `labels = "x"`, `labels.a.b = "x"`, `display_name = "*x"`, `display_name = "a*b"`, `labels."B c" = "x"`,
		`AND`, `(`, `name = "users/anna" AND`, `given_name = family_name`, `email = "x`, "display_name = \"\x01\" OR", `duration("5s") = "x"`,
		strings.Repeat("(", 40) + `state = ACTIVE` + strings.Repeat(")", 40), `display_name = "` + strings.Repeat("x", 3000) + `"`, "display_name = \"\\x00\"",
	} {
		t.Run(filter[:min(len(filter), 40)], func(t *testing.T) {
			_, err := c.ListUsers(soon(t), &userv1.ListUsersRequest{Filter: filter})
			wantError(t, err, codes.InvalidArgument, internal.ReasonInvalidRequest, "filter")
		})
	}
}

func TestListOrders(t *testing.T) {
	c := newInstance(t)
	create(t, c, "anna", &userv1.User{Email: "c@example.com", DisplayName: "same"})
	create(t, c, "bert", &userv1.User{Email: "B@example.com", DisplayName: "same"})
	create(t, c, "carl", &userv1.User{Email: "a@example.com", DisplayName: "other"})
	for _, tt := range []struct{ by, want string }{
		{"", "anna bert carl"}, {"name desc", "carl bert anna"}, {"email", "carl bert anna"}, {" email  desc ", "anna bert carl"},
		{"display_name", "carl anna bert"}, {"display_name, name desc", "carl bert anna"}, {"create_time", "anna bert carl"},
		{"create_time desc", "carl bert anna"}, {"update_time,name", "anna bert carl"}, {"name desc, email", "carl bert anna"}, {"display_name, name, email desc", "carl anna bert"},
		{"display_name desc", "bert anna carl"},
	} {
		t.Run(tt.by, func(t *testing.T) {
			users := listAll(t, c, &userv1.ListUsersRequest{OrderBy: tt.by, PageSize: 1})
			if got := strings.ReplaceAll(strings.Join(namesOf(users), " "), "users/", ""); got != tt.want {
				t.Errorf("order_by %q gives %q; want %q", tt.by, got, tt.want)
			}
		})
	}
	for _, by := range []string{"nosuch", "uid", "name sideways", "name,", ",", "name,name", "labels.team", "name; drop"} {
		t.Run("refuses "+by, func(t *testing.T) {
			_, err := c.ListUsers(soon(t), &userv1.ListUsersRequest{OrderBy: by})
			wantError(t, err, codes.InvalidArgument, internal.ReasonInvalidRequest, "order_by")
		})
	}
}

func TestListCoercesThePageSize(t *testing.T) {
	c := newInstance(t)
	for i := range 60 {
		create(t, c, fmt.Sprintf("user-%02d", i), nil)
	}
	for _, tt := range []struct {
		size int32
		want int
	}{{0, 50}, {7, 7}, {5000, 60}} {
		page := wantOK[*userv1.ListUsersResponse](t)(c.ListUsers(soon(t), &userv1.ListUsersRequest{PageSize: tt.size}))
		if len(page.GetUsers()) != tt.want {
			t.Errorf("page_size %d gives %d users; want %d", tt.size, len(page.GetUsers()), tt.want)
		}
		if last := tt.want == 60; last != (page.GetNextPageToken() == "") {
			t.Errorf("page_size %d: token is %q", tt.size, page.GetNextPageToken())
		}
	}
	_, err := c.ListUsers(soon(t), &userv1.ListUsersRequest{PageSize: -1})
	wantError(t, err, codes.InvalidArgument, internal.ReasonInvalidRequest, "page_size")
}

func TestPageTokensAreBoundToTheirList(t *testing.T) {
	c := newInstance(t)
	for i := range 10 {
		create(t, c, fmt.Sprintf("user-%02d", i), nil)
	}
	first := wantOK[*userv1.ListUsersResponse](t)(c.ListUsers(soon(t), &userv1.ListUsersRequest{PageSize: 3, Filter: `state = ACTIVE`}))
	token := first.GetNextPageToken()
	if strings.ContainsAny(token, "+/=") {
		t.Errorf("token %q is not URL-safe", token)
	}
	// The page size may change between pages.
	wantOK[*userv1.ListUsersResponse](t)(c.ListUsers(soon(t), &userv1.ListUsersRequest{PageSize: 5, Filter: `state = ACTIVE`, PageToken: token}))
	flipped := []byte(token)
	flipped[len(flipped)/2] ^= 1
	for name, req := range map[string]*userv1.ListUsersRequest{
		"another filter":       {PageToken: token, Filter: `state = SUSPENDED`},
		"no filter":            {PageToken: token},
		"another order":        {PageToken: token, Filter: `state = ACTIVE`, OrderBy: "email"},
		"with deleted ones":    {PageToken: token, Filter: `state = ACTIVE`, ShowDeleted: true},
		"garbage":              {PageToken: "x", Filter: `state = ACTIVE`},
		"not base64":           {PageToken: "%%%", Filter: `state = ACTIVE`},
		"changed":              {PageToken: string(flipped), Filter: `state = ACTIVE`},
		"cut":                  {PageToken: token[:len(token)-4], Filter: `state = ACTIVE`},
		"a revision":           {PageToken: first.GetRevision(), Filter: `state = ACTIVE`},
		"followed by anything": {PageToken: token + "AAAA", Filter: `state = ACTIVE`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ListUsers(soon(t), req)
			wantError(t, err, codes.InvalidArgument, internal.ReasonInvalidRequest, "page_token")
		})
	}
}

func TestPagesFitIntoAMessage(t *testing.T) {
	c := newInstance(t)
	labels := map[string]string{}
	for i := range 64 {
		labels[fmt.Sprintf("key-%d", i)] = strings.Repeat("\U0001F600", 128)
	}
	const n = 150 // 5 MiB
	for i := range n {
		create(t, c, fmt.Sprintf("user-%03d", i), &userv1.User{Labels: labels})
	}
	if got := listAll(t, c, &userv1.ListUsersRequest{PageSize: 1000}); len(got) != n {
		t.Errorf("pages hold %d users; want %d", len(got), n)
	}
}
