package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/postgres"
)

func TestErrorsOfTheDriverGetTheirMeaning(t *testing.T) {
	code := func(c, constraint string) error { return &pgconn.PgError{Code: c, ConstraintName: constraint} }
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"serialization failure", code("40001", ""), repository.ErrAborted},
		{"deadlock", code("40P01", ""), repository.ErrAborted},
		{"the user's key", code("23505", "users_pkey"), repository.ErrExists},
		{"the user's e-mail", code("23505", "users_email_live"), repository.ErrExists},
		{"too many connections", code("53300", ""), repository.ErrUnavailable},
		{"disk full", code("53100", ""), repository.ErrUnavailable},
		{"shutting down", code("57P01", ""), repository.ErrUnavailable},
		{"starting up", code("57P03", ""), repository.ErrUnavailable},
		{"statement timeout", code("57014", ""), repository.ErrUnavailable},
		{"lock timeout", code("55P03", ""), repository.ErrUnavailable},
		{"read-only", code("25006", ""), repository.ErrUnavailable},
		{"connection lost", fmt.Errorf("read: %w", io.ErrUnexpectedEOF), repository.ErrUnavailable},
		{"connection refused", &net.OpError{Op: "dial", Err: errors.New("refused")}, repository.ErrUnavailable},
		{"another unique key", code("23505", "other"), nil},
		{"a syntax error", code("42601", ""), nil},
		{"another error", errors.New("other"), nil},
		{"none", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := postgres.Classify(c.err); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAServerThatIsAwayIsUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, "postgres://app@"+addr+"/users?sslmode=disable", time.Now)
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, getErr := s.Get(ctx, "ann")
	_, createErr := s.Create(ctx, repository.User{ID: "ann"}, repository.Write{})
	for _, err := range []error{getErr, createErr, s.Ping(ctx), s.Migrate(ctx)} {
		if !errors.Is(err, repository.ErrUnavailable) {
			t.Errorf("error is %v, want ErrUnavailable", err)
		}
	}
}

func TestAPoolInUseIsWaitedForAsLongAsTheContextAllows(t *testing.T) {
	s, err := postgres.New(postgres.Config{DSN: server.Database(t), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	waiting, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := s.Wait(waiting, 1<<40) // holds the only connection
		done <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for err = nil; err == nil; { // until Wait has it
		_, err = s.Head(ctx)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want the context's", err)
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("wait: %v", err)
	}
}

func TestAConfigWithoutServerIsRefused(t *testing.T) {
	for name, cfg := range map[string]postgres.Config{"empty": {}, "not a DSN": {DSN: "postgres://%zz"}} {
		if _, err := postgres.New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
