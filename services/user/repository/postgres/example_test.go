package postgres_test

import (
	"context"
	"log"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository/postgres"
)

func Example() {
	s, err := postgres.New(postgres.Config{DSN: "postgres://app@localhost/users", MaxConns: 20, StatementTimeout: 2 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Migrate(ctx); err != nil { // waits for other instances that migrate
		log.Print(err)
		return
	}
	head, err := s.Head(ctx)
	if err != nil {
		log.Print(err)
		return
	}
	log.Printf("database %s is at revision %d", head.Epoch, head.Revision)
}
