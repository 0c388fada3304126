package core_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/internal/core"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dialect() core.Dialect {
	return core.Dialect{
		Arg:  func(n int) string { return fmt.Sprintf("$%d", n) },
		Time: func(t time.Time) any { return t.UnixMicro() },
	}
}

func TestAPositionBecomesOneRangeWhenDirectionsAgree(t *testing.T) {
	for _, c := range []struct {
		name  string
		order []repository.Order
		after []string
		want  string
	}{
		{"id", nil, []string{"a"}, "(id) > ($1)"},
		{"down", []repository.Order{{Field: repository.FieldCreateTime, Desc: true}}, []string{"7", "a"}, "(create_time, id) < ($1, $2)"},
		{"mixed", []repository.Order{{Field: repository.FieldCreateTime, Desc: true}, {Field: repository.FieldID}}, []string{"7", "a"},
			"(create_time <= $1 AND ((create_time < $1) OR (create_time = $1 AND id > $2)))"},
	} {
		t.Run(c.name, func(t *testing.T) {
			order, err := core.FullOrder(c.order)
			if err != nil {
				t.Fatal(err)
			}
			text, args, err := core.List(dialect(), repository.Query{Order: order, After: c.after, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text, " AND "+c.want+" ORDER BY ") || args[len(args)-1] != 11 {
				t.Errorf("got %s with %v, want the condition %s", text, args, c.want)
			}
		})
	}
}

// TestAPrefixIsARange checks that the two bounds of a prefix hold exactly the
// texts that have it.
func TestAPrefixIsARange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runes := rapid.SampledFrom([]rune{'a', 'b', 0xD7FF, 0xE000, 0x10FFFF})
		text := func(name string) string { return string(rapid.SliceOfN(runes, 0, 3).Draw(t, name)) }
		prefix, s := text("prefix"), text("text")
		q := repository.Query{Limit: 1, ShowDeleted: true, Order: []repository.Order{{Field: repository.FieldID}},
			Filter: repository.Compare{Field: repository.FieldID, Op: repository.OpPrefix, Value: prefix}}
		_, args, err := core.List(dialect(), q)
		if err != nil {
			t.Fatal(err)
		}
		low, _ := args[0].(string)
		within := s >= low
		if high, ok := args[1].(string); ok {
			within = within && s < high
		}
		if within != strings.HasPrefix(s, prefix) {
			t.Fatalf("%q is within %q: %v", s, args, within)
		}
	})
}

func TestAnEventKeepsTheWholeUser(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := func(name string) time.Time { return core.FromMicros(rapid.Int64Range(0, 1<<52).Draw(t, name)) }
		text := rapid.String()
		u := repository.User{
			ID: text.Draw(t, "id"), UID: "uid", Version: rapid.Int64().Draw(t, "version"),
			Email: text.Draw(t, "email"), DisplayName: text.Draw(t, "name"), State: repository.StateSuspended,
			Labels:     map[string]string{text.Draw(t, "key"): text.Draw(t, "value")},
			CreateTime: at("create"), UpdateTime: at("update"), DeleteTime: at("delete"), PurgeTime: at("purge"),
		}
		s, err := core.EncodeUser(&u)
		if err != nil {
			t.Fatal(err)
		}
		got, err := core.DecodeUser([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		times := func(u *repository.User) []time.Time {
			return []time.Time{u.CreateTime, u.UpdateTime, u.DeleteTime, u.PurgeTime}
		}
		if !repository.SameContent(&got, &u) || got.ID != u.ID || got.Version != u.Version || !slices.EqualFunc(times(&got), times(&u), time.Time.Equal) {
			t.Fatalf("got %+v, want %+v", got, u)
		}
	})
}
