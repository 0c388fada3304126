// Package internal is the audit service: it follows the user service's changes
// into a repository.Store, and answers audit.v1.AuditService from it.
//
// server.go wires it to the chassis. Recorder is the one that continues the
// history: recorder.go holds the lease, recording.go reads the watch, observe.go
// says what a message means. Handler is the methods: list.go with names.go, and
// follow.go on the tail that wakes all streams of an instance.
package internal

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/grpc/connectivity"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/deadline"
	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// Name is the name under which the service is registered and found.
const Name = "audit"

// Run loads the configuration from args, environment and file, and serves until
// the context ends and the instance has drained.
func Run(ctx context.Context, args []string) error {
	cfg := DefaultConfig()
	if err := keelson.LoadConfig(&cfg, args); err != nil {
		return err
	}
	service, err := keelson.New(Name, cfg.Config, Options()...)
	if err != nil {
		return err
	}
	if err := Register(service, cfg); err != nil {
		return err
	}
	return service.Run(ctx)
}

// Options are what the audit service wants of its chassis.
func Options() []keelson.Option {
	return []keelson.Option{
		keelson.WithErrorDomain(Domain), keelson.WithErrors(Errors()), keelson.WithChecks(check),
		keelson.WithUnaryInterceptors(deadline.UnaryReserve(storeUnavailable("the store did not answer in time; try again"))),
	}
}

// Register adds the audit service to a chassis service: its methods, its store
// (migrated before calls are accepted, closed after the drain), the recorder and
// the tail.
func Register(service *keelson.Service, cfg Config) error {
	store, err := newStore(cfg.Store)
	if err != nil {
		return fmt.Errorf("make the %s store: %w", cfg.Store.Driver, err)
	}
	conn, err := service.Dial(cfg.Users.Target)
	if err != nil {
		return fmt.Errorf("users.target: %w", err)
	}
	users := userv1.NewUserServiceClient(conn)
	metrics, err := newInstruments(service.Registerer())
	if err != nil {
		return fmt.Errorf("register the metrics of the history: %w", err)
	}
	handler := NewHandler(store, users, cfg.Users, cfg.Follow, WithLogger(service.Logger()), withInstruments(metrics), WithDraining(keelson.Draining))
	// The name is not reused by a process that comes after this one: what a
	// crashed instance held is not its successor's.
	owner := cfg.InstanceID + "/" + uuid.NewString()
	recorder := NewRecorder(store, users, owner, cfg.Recorder, WithLogger(service.Logger()), withInstruments(metrics), WithAppended(handler.Wake))

	service.OnStart("store", func(ctx context.Context) error {
		if err := cfg.Store.prepare(); err != nil {
			return err
		}
		return store.Migrate(ctx)
	})
	service.OnStop("store", func(context.Context) error { return store.Close() })
	service.Dependency("store", store.Ping)
	service.Dependency("history", recorder.Check)
	service.Dependency("user", func(context.Context) error { return checkConnection(conn.GetState()) })
	service.Go("recorder", recorder.Run)
	service.Go("tail", handler.Run)
	auditv1.RegisterAuditServiceServer(service, handler)
	return nil
}

// checkConnection says what is wrong with a connection in a state. One that is
// idle was not needed yet.
func checkConnection(state connectivity.State) error {
	if state == connectivity.Idle || state == connectivity.Ready {
		return nil
	}
	return fmt.Errorf("no instance of the user service can be reached (connection: %s); lists come without names, and the history waits", state)
}
