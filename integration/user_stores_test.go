package integration_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keelson-dev/keelson/errs"
	postgrestest "github.com/keelson-dev/keelson/internal/testservers/postgres"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// postgres is the server of all tests that need one. TestMain stops it.
var postgres postgrestest.Server

// userPlatform is a platform whose instances share one empty store.
type userPlatform struct {
	*platform
	env []string
}

// onBothStores runs a test on SQLite and on PostgreSQL. Without PostgreSQL that
// half is skipped, unless KEELSONTEST_REQUIRE_SERVERS=1.
func onBothStores(t *testing.T, test func(t *testing.T, p *userPlatform)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, onSQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, onPostgres(t)) })
}

func onSQLite(t *testing.T) *userPlatform {
	p := newPlatform(t)
	return &userPlatform{p, []string{"KEELSON_STORE__SQLITE__PATH=" + filepath.Join(p.dir, "made", "here", "user.db")}}
}

func onPostgres(t *testing.T) *userPlatform {
	dsn := postgres.Database(t)
	return &userPlatform{newPlatform(t), []string{"KEELSON_STORE__DRIVER=postgres", "KEELSON_STORE__POSTGRES__DSN=" + dsn}}
}

// userInstance is one instance and a client of it alone: no retries, no other
// instance.
type userInstance struct {
	*instance
	userv1.UserServiceClient
	env []string
}

// run starts an instance that is killed at the end of the test; one that must
// drain is told to by the test.
func (p *userPlatform) run(id string, env ...string) *userInstance {
	p.t.Helper()
	env = append(append([]string{"KEELSON_DRAIN__PROPAGATION=20ms", "KEELSON_DRAIN__QUIET=10ms"}, p.env...), env...)
	i := &userInstance{instance: p.start(id, env...), env: env}
	p.t.Cleanup(i.kill)
	i.UserServiceClient = userv1.NewUserServiceClient(p.dial(i.Address))
	return i
}

func (p *userPlatform) runs(ids ...string) []*userInstance {
	p.t.Helper()
	var all []*userInstance
	for _, id := range ids {
		all = append(all, p.run(id))
	}
	return all
}

// service prepares a run of the user service that is expected to end by itself.
func (p *platform) service(env ...string) *exec.Cmd {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	p.t.Cleanup(cancel)
	c := exec.CommandContext(ctx, binary(p.t, "services/user/cmd/user")) //nolint:gosec // built here
	c.Dir = p.dir
	c.Env = append(os.Environ(), "KEELSON_LOG__FORMAT=json", "KEELSON_GRPC__ADDRESS=127.0.0.1:0", "KEELSON_OPS__ADDRESS=127.0.0.1:0", "KEELSON_DEBUG__ADDRESS=off")
	c.Env = append(c.Env, env...)
	return c
}

// dial connects without the chassis: what is seen is what the server does.
func (p *userPlatform) dial(address string) *grpc.ClientConn {
	p.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// bounded is a context that turns hanging into failing.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// must returns the answer of a call that has to succeed.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// refusal checks what the contract promises of an error: its code, its reason
// and, unless empty, the field it names; always exactly one domain.
func refusal(err error, code codes.Code, reason, field string) error {
	e := errs.From(errs.FromWire(err))
	switch {
	case err == nil:
		return fmt.Errorf("succeeded; want %s %s %s", code, reason, field)
	case e.Code() != code || e.Reason() != reason:
		return fmt.Errorf("%w (%s); want %s %s %s", err, e.Reason(), code, reason, field)
	case e.Domain() != "user.keelson.dev":
		return fmt.Errorf("%w: domain %q", err, e.Domain())
	case field == "":
		return nil
	}
	for _, f := range e.Fields() {
		if f.GetField() == field {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("fields %v; want %s", e.Fields(), field), err)
}

// email makes an address of a name.
func email(name string) string { return name + "@example.com" }

// makeUser creates a user with an ID.
func makeUser(t *testing.T, c userv1.UserServiceClient, id string) *userv1.User {
	t.Helper()
	return must[*userv1.User](t)(c.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: id, User: &userv1.User{Email: email(id)}}))
}
