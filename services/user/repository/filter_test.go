package repository_test

import (
	"errors"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
)

func TestComparisonsHaveTwoValues(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	u := &repository.User{
		ID: "ann", DisplayName: "Ann", State: repository.StateActive, CreateTime: at,
		Labels: map[string]string{"team": "blue", "empty": ""},
	}
	label := func(key string, op repository.Op, v string) repository.Filter {
		return repository.Compare{Field: repository.FieldLabel, Label: key, Op: op, Value: v}
	}
	for _, c := range []struct {
		name string
		f    repository.Filter
		want bool
	}{
		{"equal", repository.Compare{Field: repository.FieldID, Op: repository.OpEqual, Value: "ann"}, true},
		{"bytewise", repository.Compare{Field: repository.FieldDisplayName, Op: repository.OpLess, Value: "a"}, true},
		{"prefix", repository.Compare{Field: repository.FieldDisplayName, Op: repository.OpPrefix, Value: "An"}, true},
		{"label", label("team", repository.OpEqual, "blue"), true},
		{"label differs", label("team", repository.OpNotEqual, "red"), true},
		{"missing label does not differ", label("other", repository.OpNotEqual, "red"), false},
		{"not of a missing label", repository.Not{Filter: label("other", repository.OpEqual, "red")}, true},
		{"has an empty label", label("empty", repository.OpHas, ""), true},
		{"time below a microsecond", repository.Compare{Field: repository.FieldCreateTime, Op: repository.OpEqual, Value: at.Add(999)}, true},
		{"unset time", repository.Compare{Field: repository.FieldDeleteTime, Op: repository.OpNotEqual, Value: at}, false},
		{"empty and", repository.And{}, true},
		{"empty or", repository.Or{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.f.Validate(); err != nil {
				t.Fatal(err)
			}
			if got := c.f.Match(u); got != c.want {
				t.Errorf("Match is %v, want %v", got, c.want)
			}
		})
	}
}

func TestErrorsAreOfTheirKind(t *testing.T) {
	u := repository.User{ID: "ann", Version: 3}
	for _, c := range []struct{ err, kind error }{
		{&repository.NotFoundError{ID: "ann"}, repository.ErrNotFound},
		{&repository.ExistsError{Field: repository.ConflictID, Value: "ann", Deleted: true}, repository.ErrExists},
		{&repository.VersionError{Current: u}, repository.ErrVersionMismatch},
		{&repository.DeletedError{Current: u}, repository.ErrDeleted},
		{&repository.CompactedError{Compacted: 7, Asked: 3}, repository.ErrCompacted},
		{&repository.InvalidError{Field: "User.ID", Problem: "must not be empty"}, repository.ErrInvalid},
	} {
		if !errors.Is(c.err, c.kind) {
			t.Errorf("%v is not %v", c.err, c.kind)
		}
	}
}
