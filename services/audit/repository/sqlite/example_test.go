package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/keelson-dev/keelson/services/audit/repository"
	"github.com/keelson-dev/keelson/services/audit/repository/sqlite"
)

// A history is continued under a lease, from where it stands.
func Example() {
	dir, err := os.MkdirTemp("", "audit")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	store, err := sqlite.New(sqlite.Config{Path: filepath.Join(dir, "audit.db")})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	lease, err := store.Acquire(ctx, "me", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	b := repository.Batch{
		Fence: lease.Fence, From: lease.State, Generation: 1,
		Changes: []repository.Change{{Kind: repository.KindGap}, {Kind: repository.KindCreated, UserID: "ada-l", UserUID: "1", UserETag: "v1"}},
	}
	state, err := store.Append(ctx, b, time.Minute)
	fmt.Println("position", state.Position, err)
	_, err = store.Append(ctx, b, time.Minute) // the history has moved
	fmt.Println(err)
	// Output:
	// position 2 <nil>
	// append: the lease is lost, or the history has moved
}
