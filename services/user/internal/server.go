// Package internal is the user service: it answers user.v1.UserService from a
// repository.Store.
//
// server.go wires it to the chassis. Handler is the methods, as plain gRPC: the
// unary ones in read.go and write.go, what they check and translate in a file
// for each concept, ImportUsers in import.go, WatchUsers in watch.go on the hub
// that feeds all watchers of an instance. Purger is the background job.
package internal

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/deadline"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// Name is the name under which the service is registered and found.
const Name = "user"

// Run loads the configuration from args, environment and file, and serves until
// the context ends and the instance has drained.
func Run(ctx context.Context, args []string) error {
	cfg := DefaultConfig()
	if err := keelson.LoadConfig(&cfg, args); err != nil {
		return err
	}
	opts, err := Options()
	if err != nil {
		return err
	}
	service, err := keelson.New(Name, cfg.Config, opts...)
	if err != nil {
		return err
	}
	if err := Register(service, cfg); err != nil {
		return err
	}
	return service.Run(ctx)
}

// Options are what the user service wants of its chassis.
func Options() ([]keelson.Option, error) {
	filters, err := newFilterParser()
	if err != nil {
		return nil, err
	}
	return []keelson.Option{
		keelson.WithErrorDomain(Domain), keelson.WithChecks(filters.check),
		keelson.WithUnaryInterceptors(deadline.UnaryReserve(errStoreSlow())),
	}, nil
}

// Register adds the user service to a chassis service: its methods, its store
// (migrated before calls are accepted, closed after the drain), the poller of
// changes and the purge.
func Register(service *keelson.Service, cfg Config) error {
	store, err := newStore(cfg.Store)
	if err != nil {
		return fmt.Errorf("make the %s store: %w", cfg.Store.Driver, err)
	}
	handler, err := NewHandler(store, cfg.Users, WithLogger(service.Logger()), WithMetrics(service.Registerer()), WithDraining(keelson.Draining))
	if err != nil {
		return err
	}
	owner := cfg.InstanceID
	if owner == "" {
		owner = uuid.NewString()
	}
	purger := NewPurger(store, owner, cfg.Purge, service.Logger())

	service.OnStart("store", func(ctx context.Context) error {
		if err := cfg.Store.prepare(); err != nil {
			return err
		}
		return store.Migrate(ctx)
	})
	service.OnStop("store", func(context.Context) error { return store.Close() })
	service.Dependency("store", store.Ping)
	service.Go("changes", handler.Run)
	service.Go("purge", purger.Run)
	userv1.RegisterUserServiceServer(service, handler)
	return nil
}
