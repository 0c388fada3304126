package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/sqlite"
)

func Example() {
	dir, err := os.MkdirTemp("", "users")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := sqlite.New(sqlite.Config{Path: filepath.Join(dir, "users.db")})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	if err := s.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	for _, id := range []string{"bob", "ann"} {
		if _, err := s.Create(ctx, repository.User{ID: id}, repository.Write{}); err != nil {
			log.Fatal(err)
		}
	}
	page, err := s.List(ctx, repository.Query{Limit: 10})
	if err != nil {
		log.Fatal(err)
	}
	for _, u := range page.Users {
		fmt.Println(u.ID, u.State)
	}
	fmt.Println("watch from", page.Revision)
	// Output:
	// ann ACTIVE
	// bob ACTIVE
	// watch from 2
}
