package postgres_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

// listen accepts connections and gives each to serve, until the test ends.
func listen(t *testing.T, serve func(net.Conn)) (dsn string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
		}
	})
	t.Cleanup(func() { _ = l.Close(); accepting.Wait() })
	return "postgres://audit@" + l.Addr().String() + "/audit?sslmode=disable"
}

func TestAServerThatCannotBeReachedIsUnavailable(t *testing.T) {
	for name, dsn := range map[string]string{
		"refuses":  "postgres://audit@127.0.0.1:1/audit?sslmode=disable",
		"hangs up": listen(t, func(c net.Conn) { _ = c.Close() }),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, dsn, nil)
			defer s.Close()
			_, headErr := s.Head(t.Context())
			for doing, err := range map[string]error{"read": headErr, "ping": s.Ping(t.Context()), "migrate": s.Migrate(t.Context())} {
				if !errors.Is(err, repository.ErrUnavailable) {
					t.Errorf("%s: %v; want ErrUnavailable", doing, err)
				}
			}
		})
	}
}

func TestACallerWhoLeavesASilentServerHearsOfItself(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	conns := make(chan net.Conn, 100) // which are neither answered nor closed
	dsn := listen(t, func(c net.Conn) { conns <- c; cancel() })
	s := open(t, dsn, nil)
	defer s.Close()
	if _, err := s.Head(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v; want the caller's", err)
	}
	_ = (<-conns).Close()
}

func TestAConnectionThatTheServerEndsIsUnavailableOnce(t *testing.T) {
	s := open(t, server.Database(t), nil)
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Restart(t)
	for tries := 0; ; tries++ {
		_, err := s.Head(t.Context())
		if err == nil {
			return
		}
		if !errors.Is(err, repository.ErrUnavailable) || tries == 100 {
			t.Fatalf("after a crash of the server, try %d: %v", tries, err)
		}
	}
}
