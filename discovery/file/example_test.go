package file_test

import (
	"context"
	"fmt"
	"os"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
)

// An instance keeps itself registered while it serves; others find it in the directory.
func Example() {
	dir, err := os.MkdirTemp("", "registry")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	driver, err := file.New(dir, file.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, stop := context.WithCancel(context.Background())
	self := discovery.Instance{Service: "user", ID: "user-1", Address: "127.0.0.1:8080"}
	registration, err := discovery.NewRegistration(driver, self, discovery.RegistrationConfig{},
		discovery.WithOnState(func(s discovery.State, _ error) {
			fmt.Println("registration:", s)
			if s == discovery.StateRegistered {
				list, err := file.List(dir)
				fmt.Println("registered:", len(list), list[0].ID, err)
				stop()
			}
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("run:", registration.Run(ctx))
	list, err := file.List(dir)
	fmt.Println("registered:", len(list), err)
	// Output:
	// registration: registered
	// registered: 1 user-1 <nil>
	// registration: ended
	// run: <nil>
	// registered: 0 <nil>
}
