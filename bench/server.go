package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/lifecycle"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// The variants that are compared.
const (
	bare    = "bare"    // grpc-go, nothing on
	chassis = "keelson" // the whole chassis, as configured by default
)

// users answers from memory, so that what is measured is not a store.
type users struct {
	userv1.UnimplementedUserServiceServer
	user *userv1.User
}

func newUsers() *users {
	return &users{user: &userv1.User{
		Name: "users/ada-lovelace", Uid: "5b0c9f5e-3a4d-4b8e-9a51-9b0f6a3c1d22", Etag: `"17"`,
		Email: "ada.lovelace@example.com", DisplayName: "Ada Lovelace", GivenName: "Ada", FamilyName: "Lovelace",
		Labels:     map[string]string{"team": "engines"},
		CreateTime: timestamppb.New(time.Unix(1700000000, 1000)), UpdateTime: timestamppb.New(time.Unix(1700000001, 1000)),
	}}
}

func (u *users) GetUser(context.Context, *userv1.GetUserRequest) (*userv1.User, error) {
	return u.user, nil
}

// ImportUsers answers every message with one.
func (u *users) ImportUsers(ss userv1.UserService_ImportUsersServer) error {
	answer := &userv1.ImportUsersResponse{}
	for {
		if _, err := ss.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := ss.Send(answer); err != nil {
			return err
		}
	}
}

// WatchUsers stays open and says nothing, like an idle watch.
func (u *users) WatchUsers(_ *userv1.WatchUsersRequest, ss userv1.UserService_WatchUsersServer) error {
	if err := ss.Send(&userv1.WatchUsersResponse{}); err != nil {
		return err
	}
	<-ss.Context().Done()
	return nil
}

// serveVariant serves until its standard input ends. For each line it reads it
// answers with a [usage]. A profile goes to a directory unless that is "".
func serveVariant(ctx context.Context, variant, profile string) error {
	stop := func() {}
	if profile != "" {
		var err error
		if stop, err = startProfile(filepath.Join(profile, variant+".pprof")); err != nil {
			return err
		}
	}
	defer stop()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	switch variant {
	case bare:
		s := grpc.NewServer()
		userv1.RegisterUserServiceServer(s, newUsers())
		go func() { _ = s.Serve(l) }()
		defer s.Stop()
		return answer(l.Addr())
	case chassis:
		// As a service's main does it.
		keelson.Main(func(ctx context.Context) error {
			defer stop() // Main exits
			return serveChassis(ctx, l)
		})
	}
	return fmt.Errorf("no variant %q", variant)
}

func serveChassis(ctx context.Context, l net.Listener) error {
	s, err := keelson.New("user", keelson.Config{Ops: keelson.OpsConfig{Address: "127.0.0.1:0"}, Log: keelson.LogConfig{Format: "json"}}, keelson.WithListener(l))
	if err != nil {
		return err
	}
	userv1.RegisterUserServiceServer(s, newUsers())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.Go("answer", func(context.Context) error {
		defer cancel()
		if err := answer(l.Addr()); err != nil {
			return err
		}
		return lifecycle.ErrDone
	})
	return s.Run(ctx)
}

// answer tells where the server listens, and its usage for each line it reads.
func answer(address net.Addr) error {
	fmt.Println(address)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := json.NewEncoder(os.Stdout).Encode(measureUsage()); err != nil {
			return err
		}
	}
	return nil
}

// usage is what a server process has used so far.
type usage struct {
	CPU     time.Duration // user and system
	Mallocs uint64
	RSS     uint64 // bytes of heap and stacks in use after a collection
}

func measureUsage() usage {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails only for a bad pointer
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{
		CPU:     time.Duration(r.Utime.Nano() + r.Stime.Nano()),
		Mallocs: m.Mallocs,
		RSS:     m.HeapInuse + m.StackInuse,
	}
}

func startProfile(file string) (stop func(), err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}
