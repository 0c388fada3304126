package postgres_test

import (
	"context"
	"fmt"

	"github.com/keelson-dev/keelson/services/audit/repository/postgres"
)

// Making a store connects to nothing; using it does.
func ExampleNew() {
	store, err := postgres.New(postgres.Config{DSN: "postgres://nobody@127.0.0.1:1/audit?sslmode=disable"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	fmt.Println("reached:", store.Ping(context.Background()) == nil)
	// Output: reached: false
}
