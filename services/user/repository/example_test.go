package repository_test

import (
	"fmt"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// A filter is the same in memory and in every database: a watcher uses Match
// to tell whether a change made a user enter or leave it.
func ExampleFilter() {
	f := repository.And{
		repository.Compare{Field: repository.FieldState, Op: repository.OpEqual, Value: repository.StateActive},
		repository.Compare{Field: repository.FieldLabel, Label: "team", Op: repository.OpEqual, Value: "blue"},
	}
	before := repository.User{ID: "ann", State: repository.StateActive}
	after := before.Clone()
	after.Labels = map[string]string{"team": "blue"}
	fmt.Println(f.Match(&before), f.Match(&after))
	// Output: false true
}
