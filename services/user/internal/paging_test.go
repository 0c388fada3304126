package internal_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// Whatever is created and deleted while a list is being paged through: who was
// there from its beginning to its end appears exactly once, in order.
func TestPagingNeitherSkipsNorRepeatsUnderChange(t *testing.T) {
	c := newInstance(t)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		label := fmt.Sprintf("r%d", round)
		id := func(n int) string { return fmt.Sprintf("%s-%04d", label, n) }
		add := func(n int) {
			create(t, c, id(n), &userv1.User{Labels: map[string]string{"round": label}, DisplayName: fmt.Sprint(n % 3)})
		}
		present := map[int]bool{}
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 60), 0, 20, rapid.ID[int]).Draw(rt, "start") {
			add(n)
			present[n] = true
		}
		survivors := map[string]bool{}
		for n := range present {
			survivors["users/"+id(n)] = true
		}
		req := &userv1.ListUsersRequest{
			Filter:   fmt.Sprintf("labels.round = %q", label),
			OrderBy:  rapid.SampledFrom([]string{"", "name desc", "display_name", "create_time desc", "email, display_name"}).Draw(rt, "order"),
			PageSize: int32(rapid.IntRange(1, 7).Draw(rt, "size")),
		}
		var seen []string
		for page := 0; ; page++ {
			res := wantOK[*userv1.ListUsersResponse](t)(c.ListUsers(soon(t), req))
			seen = append(seen, namesOf(res.GetUsers())...)
			if req.PageToken = res.GetNextPageToken(); req.GetPageToken() == "" {
				break
			}
			for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 60), 0, 3, rapid.ID[int]).Draw(rt, "changes") {
				if present[n] {
					wantOK[*userv1.User](t)(c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/" + id(n)}))
					delete(survivors, "users/"+id(n))
					present[n] = false
				} else if _, was := present[n]; !was {
					add(n)
					present[n] = true
				}
			}
		}
		for name := range survivors {
			if n := len(slices.DeleteFunc(slices.Clone(seen), func(s string) bool { return s != name })); n != 1 {
				rt.Fatalf("%s survived and appears %d times in %v", name, n, seen)
			}
		}
		if sorted := slices.Clone(seen); len(slices.Compact(slices.Sorted(slices.Values(sorted)))) != len(seen) {
			rt.Fatalf("someone appears twice in %v", seen)
		}
	})
}
