package integration_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

func TestUserListsOnBothStores(t *testing.T) {
	onBothStores(t, func(t *testing.T, p *userPlatform) {
		c := p.run("a")
		all := listed(t, c)
		t.Run("filters", func(t *testing.T) { userFilters(t, c, all) })
		t.Run("filters that are wrong", func(t *testing.T) { userFiltersRefused(t, c) })
		t.Run("orders", func(t *testing.T) { userOrders(t, c, all) })
		t.Run("tokens", func(t *testing.T) { userTokens(t, c, all) }) // deletes a user: last
	})
}

// listed makes users that differ in what filters look at, and returns all of
// them, also the deleted ones.
func listed(t *testing.T, c userv1.UserServiceClient) []*userv1.User {
	t.Helper()
	names := []string{"", "Anna", "anna", "Änne", "Bert 'x' OR 1=1 --", `quo"te\`, "100%_", "日本", "😀 grin", "Z", "%", "*"}
	for i, name := range names {
		in := &userv1.User{Email: fmt.Sprintf("List-%02d@Straße.example", i), DisplayName: name, GivenName: names[(i+3)%len(names)], Labels: map[string]string{"n": fmt.Sprint(i % 3)}}
		if i%4 == 0 {
			in.Labels["only-few"], in.Labels["empty"] = "x*y", ""
		}
		u := must[*userv1.User](t)(c.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: fmt.Sprintf("list-%02d", i), User: in}))
		if i%3 == 1 {
			must[*userv1.User](t)(c.SuspendUser(bounded(t), &userv1.SuspendUserRequest{Name: u.GetName()}))
		}
		if i%5 == 4 {
			must[*userv1.User](t)(c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: u.GetName()}))
		}
	}
	all := pages(t, c, &userv1.ListUsersRequest{ShowDeleted: true, PageSize: 5})
	if len(all) != len(names) {
		t.Fatalf("%d users are listed; want %d", len(all), len(names))
	}
	return all
}

// pages reads all pages of a list.
func pages(t *testing.T, c userv1.UserServiceClient, req *userv1.ListUsersRequest) []*userv1.User {
	t.Helper()
	var all []*userv1.User
	for req.PageToken = ""; ; {
		page, err := c.ListUsers(bounded(t), req)
		if err != nil {
			t.Fatalf("filter %s, order %s: %v", req.GetFilter(), req.GetOrderBy(), err)
		}
		all = append(all, page.GetUsers()...)
		if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
			return all
		}
	}
}

// predicate is a filter and what it means, written twice: for the service, and
// here in Go.
type predicate struct {
	filter string
	means  func(*userv1.User) bool
}

func predicates(all []*userv1.User) []predicate {
	middle := all[len(all)/2].GetCreateTime().AsTime()
	at := middle.Format("2006-01-02T15:04:05.999999999Z07:00")
	text := func(f func(*userv1.User, string) bool) func(string) func(*userv1.User) bool {
		return func(s string) func(*userv1.User) bool { return func(u *userv1.User) bool { return f(u, s) } }
	}
	is := text(func(u *userv1.User, s string) bool { return u.GetDisplayName() == s })
	has := text(func(u *userv1.User, s string) bool { return strings.Contains(u.GetDisplayName(), s) })
	begins := text(func(u *userv1.User, s string) bool { return strings.HasPrefix(u.GetDisplayName(), s) })
	label := func(key string, f func(string) bool) func(*userv1.User) bool {
		return func(u *userv1.User) bool { v, ok := u.GetLabels()[key]; return ok && f(v) }
	}
	mail := func(u *userv1.User) string {
		return strings.ReplaceAll(strings.ToLower(u.GetEmail()), "ß", "ss")
	}
	return []predicate{
		{`display_name = "Anna"`, is("Anna")},
		{`display_name = ""`, is("")},
		{`display_name = "Bert 'x' OR 1=1 --"`, is("Bert 'x' OR 1=1 --")},
		{`display_name = "100%_"`, is("100%_")},
		{`display_name = "quo\"te\\"`, is(`quo"te\`)},
		{`display_name:"%"`, has("%")},
		{`display_name:"'"`, has("'")},
		{`display_name:*`, func(u *userv1.User) bool { return u.GetDisplayName() != "" }},
		{`display_name = "Ann*"`, begins("Ann")},
		{`display_name = "*nn*"`, has("nn")},
		{`display_name != "A*"`, func(u *userv1.User) bool { return !strings.HasPrefix(u.GetDisplayName(), "A") }},
		{`display_name > "Z"`, func(u *userv1.User) bool { return u.GetDisplayName() > "Z" }},
		{`display_name <= "anna"`, func(u *userv1.User) bool { return u.GetDisplayName() <= "anna" }},
		{`given_name >= "Ä"`, func(u *userv1.User) bool { return u.GetGivenName() >= "Ä" }},
		{`name >= "users/list-05"`, func(u *userv1.User) bool { return u.GetName() >= "users/list-05" }},
		{`name:"-1"`, func(u *userv1.User) bool { return strings.Contains(u.GetName(), "-1") }},
		{`uid = "` + all[3].GetUid() + `"`, func(u *userv1.User) bool { return u.GetUid() == all[3].GetUid() }},
		{`email = "LIST-03@STRASSE.EXAMPLE"`, func(u *userv1.User) bool { return mail(u) == "list-03@strasse.example" }},
		{`email:"-0"`, func(u *userv1.User) bool { return strings.Contains(mail(u), "-0") }},
		{`email < "LIST-05"`, func(u *userv1.User) bool { return mail(u) < "list-05" }},
		{`state = SUSPENDED`, func(u *userv1.User) bool { return u.GetState() == userv1.User_STATE_SUSPENDED }},
		{`state != SUSPENDED`, func(u *userv1.User) bool { return u.GetState() != userv1.User_STATE_SUSPENDED }},
		{`labels.n = "1"`, label("n", func(v string) bool { return v == "1" })},
		{`labels.n != "1"`, label("n", func(v string) bool { return v != "1" })},
		{`labels.n > "0"`, label("n", func(v string) bool { return v > "0" })},
		{`labels:n`, label("n", func(string) bool { return true })},
		{`labels."only-few":*`, label("only-few", func(string) bool { return true })},
		{`labels."only-few":"*y"`, label("only-few", func(v string) bool { return strings.Contains(v, "*y") })},
		{`labels.empty = ""`, label("empty", func(v string) bool { return v == "" })},
		{`labels.missing != "x"`, label("missing", func(string) bool { return true })},
		{`create_time >= "` + at + `"`, func(u *userv1.User) bool { return !u.GetCreateTime().AsTime().Before(middle) }},
		{`create_time = "` + at + `"`, func(u *userv1.User) bool { return u.GetCreateTime().AsTime().Equal(middle) }},
		{`update_time < "2030-01-01T00:00:00+05:30"`, func(*userv1.User) bool { return true }},
		{`delete_time:*`, func(u *userv1.User) bool { return u.GetDeleteTime() != nil }},
		{`purge_time > "2026-01-01T00:00:00Z"`, func(u *userv1.User) bool { return u.GetPurgeTime() != nil }},
		{`delete_time != "2026-01-01T00:00:00Z"`, func(u *userv1.User) bool { return u.GetDeleteTime() != nil }},
	}
}

// userFilters compares each filter, and random combinations of them, with what
// they mean.
func userFilters(t *testing.T, c userv1.UserServiceClient, all []*userv1.User) {
	list := predicates(all)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	for range 60 {
		a, b := list[random.IntN(len(list))], list[random.IntN(len(list))]
		list = append(list, []predicate{
			{fmt.Sprintf("(%s) AND NOT (%s)", a.filter, b.filter), func(u *userv1.User) bool { return a.means(u) && !b.means(u) }},
			{fmt.Sprintf("(%s) OR -(%s)", a.filter, b.filter), func(u *userv1.User) bool { return a.means(u) || !b.means(u) }},
		}[random.IntN(2)])
	}
	for i, p := range list {
		deleted := i%3 != 0
		var want []string
		for _, u := range all {
			if (deleted || u.GetDeleteTime() == nil) && p.means(u) {
				want = append(want, u.GetName())
			}
		}
		got := namesOf(pages(t, c, &userv1.ListUsersRequest{Filter: p.filter, ShowDeleted: deleted, PageSize: 4}))
		if !slices.Equal(got, want) {
			t.Errorf("filter %s gives\n%v; want\n%v", p.filter, got, want)
		}
	}
}

func namesOf(users []*userv1.User) []string {
	var names []string
	for _, u := range users {
		names = append(names, u.GetName())
	}
	return names
}

func userFiltersRefused(t *testing.T, c userv1.UserServiceClient) {
	const private = "geheim@example.com"
	for _, filter := range []string{
		`nosuch = "` + private + `"`, `email = ` + private, `email == "` + private + `"`, `"` + private, private, `email = "` + private + `" AND`,
		`email = '` + private + `' )`, `email.x = "` + private + `"`, `state = "` + private + `"`, `name = "` + private + `"`, `create_time > "` + private + `"`,
		`labels."` + private + `" = "x"`, `labels:"` + private + `"`, `display_name = "a*` + private + `"`, `email = "` + private + "\x00\"", `email IN ("` + private + `")`,
		`email = "` + private + `"; DROP TABLE users`, `email = "` + private + `" -- `, `(((((` + private, strings.Repeat("(", 33) + `state = ACTIVE` + strings.Repeat(")", 33),
		strings.Repeat("NOT ", 400) + `state = ACTIVE`, strings.Repeat("-", 1000) + `state = ACTIVE`, `email(` + private + `)`, `email = email`, `state > ACTIVE`, `true`, `5 = 5`,
		`display_name = "` + strings.Repeat("x", 2048) + `"`, "\xef\xbb\xbfstate = ACTIVE",
	} {
		_, err := c.ListUsers(bounded(t), &userv1.ListUsersRequest{Filter: filter})
		if wrong := refusal(err, codes.InvalidArgument, "INVALID_REQUEST", "filter"); wrong != nil {
			t.Errorf("filter %.60s: %v", filter, wrong)
		} else if strings.Contains(fmt.Sprint(err), private) {
			t.Errorf("filter %.60s: the error repeats it: %v", filter, err)
		}
		s, err := c.WatchUsers(bounded(t), &userv1.WatchUsersRequest{Filter: filter})
		if err == nil {
			_, err = s.Recv()
		}
		if wrong := refusal(err, codes.InvalidArgument, "INVALID_REQUEST", "filter"); wrong != nil {
			t.Errorf("watch with filter %.60s: %v", filter, wrong)
		}
	}
	// What is deep and long and right, works.
	wide := strings.TrimSuffix(strings.Repeat(`state = ACTIVE OR `, 110), " OR ")
	deep := strings.Repeat("NOT (", 32) + "state = ACTIVE" + strings.Repeat(")", 32)
	for _, filter := range []string{wide, deep} {
		if users := pages(t, c, &userv1.ListUsersRequest{Filter: filter}); len(users) == 0 {
			t.Errorf("filter %.60s finds nobody", filter)
		}
	}
}

func userOrders(t *testing.T, c userv1.UserServiceClient, all []*userv1.User) {
	fold := func(u *userv1.User) string { return strings.ToLower(u.GetEmail()) }
	by := map[string]func(a, b *userv1.User) int{
		"name":         func(a, b *userv1.User) int { return cmp.Compare(a.GetName(), b.GetName()) },
		"email":        func(a, b *userv1.User) int { return cmp.Compare(fold(a), fold(b)) },
		"display_name": func(a, b *userv1.User) int { return cmp.Compare(a.GetDisplayName(), b.GetDisplayName()) },
		"create_time":  func(a, b *userv1.User) int { return a.GetCreateTime().AsTime().Compare(b.GetCreateTime().AsTime()) },
		"update_time":  func(a, b *userv1.User) int { return a.GetUpdateTime().AsTime().Compare(b.GetUpdateTime().AsTime()) },
	}
	for first, less := range by {
		for next, then := range by {
			for _, desc := range []string{"", " desc"} {
				order := first + desc + ", " + next
				if first == next {
					order = first + desc
				}
				want := slices.Clone(all)
				slices.SortFunc(want, func(a, b *userv1.User) int {
					n := less(a, b)
					if desc != "" {
						n = -n
					}
					return cmp.Or(n, then(a, b), by["name"](a, b))
				})
				got := namesOf(pages(t, c, &userv1.ListUsersRequest{OrderBy: order, ShowDeleted: true, PageSize: 5}))
				if !slices.Equal(got, namesOf(want)) {
					t.Errorf("order %s gives\n%v; want\n%v", order, got, namesOf(want))
				}
			}
		}
	}
	for _, order := range []string{"nosuch", "email asc desc", "email,", ",email", "email email", "email desc, email", "labels.n", "email; DROP TABLE users", "EMAIL", "email DESC", strings.Repeat("x", 300)} {
		_, err := c.ListUsers(bounded(t), &userv1.ListUsersRequest{OrderBy: order})
		if err := refusal(err, codes.InvalidArgument, "INVALID_REQUEST", "order_by"); err != nil {
			t.Errorf("order %q: %v", order, err)
		}
	}
}

func userTokens(t *testing.T, c userv1.UserServiceClient, all []*userv1.User) {
	const filter = `state = ACTIVE`
	first := must[*userv1.ListUsersResponse](t)(c.ListUsers(bounded(t), &userv1.ListUsersRequest{PageSize: 2, Filter: filter, OrderBy: "email desc"}))
	token := first.GetNextPageToken()
	for name, req := range map[string]*userv1.ListUsersRequest{
		"another filter": {Filter: `state = SUSPENDED`, OrderBy: "email desc"}, "another order": {Filter: filter, OrderBy: "email"}, "no order": {Filter: filter},
		"deleted ones": {Filter: filter, OrderBy: "email desc", ShowDeleted: true}, "a revision": {PageToken: first.GetRevision()}, "garbage": {PageToken: "AAAA"},
		"too long": {PageToken: strings.Repeat("A", 5000)}, "not URL-safe": {PageToken: "+/=="},
	} {
		if req.GetPageToken() == "" {
			req.PageToken = token
		}
		_, err := c.ListUsers(bounded(t), req)
		if err := refusal(err, codes.InvalidArgument, "INVALID_REQUEST", "page_token"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for size, want := range map[int32]int{0: len(all), 1: 1, 1 << 30: len(all)} {
		if got := must[*userv1.ListUsersResponse](t)(c.ListUsers(bounded(t), &userv1.ListUsersRequest{PageSize: size, ShowDeleted: true})); len(got.GetUsers()) != want {
			t.Errorf("page_size %d gives %d users; want %d", size, len(got.GetUsers()), want)
		}
	}
	_, err := c.ListUsers(bounded(t), &userv1.ListUsersRequest{PageSize: -1})
	if err := refusal(err, codes.InvalidArgument, "INVALID_REQUEST", "page_size"); err != nil {
		t.Error(err)
	}
	// The user behind whom the next page begins may go, and the size may change.
	last := first.GetUsers()[1]
	must[*userv1.User](t)(c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: last.GetName()}))
	rest := must[*userv1.ListUsersResponse](t)(c.ListUsers(bounded(t), &userv1.ListUsersRequest{PageSize: 1000, PageToken: token, Filter: filter, OrderBy: "email desc"}))
	for _, u := range rest.GetUsers() {
		if u.GetEmail() >= last.GetEmail() {
			t.Errorf("%s comes again, or too late", u.GetEmail())
		}
	}
}
