package keelson_test

import (
	"context"
	"os"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// users implements what the .proto declares.
type users struct {
	userv1.UnimplementedUserServiceServer
}

func (users) GetUser(_ context.Context, in *userv1.GetUserRequest) (*userv1.User, error) {
	if in.GetName() != "users/ada" {
		return nil, errs.NotFound("USER_NOT_FOUND", "there is no user %q", in.GetName())
	}
	return &userv1.User{Name: "users/ada", DisplayName: "Ada Lovelace"}, nil
}

// run is a complete service: configuration, deadlines, limits, validation, logs,
// metrics, traces, health, discovery and an ordered drain are all on.
func run(ctx context.Context) error {
	var cfg keelson.Config
	if err := keelson.LoadConfig(&cfg, os.Args[1:]); err != nil {
		return err
	}
	service, err := keelson.New("user", cfg)
	if err != nil {
		return err
	}
	userv1.RegisterUserServiceServer(service, users{})
	return service.Run(ctx)
}

// A complete service fits on one screen. Example is its main function.
func Example() {
	keelson.Main(run)
}
