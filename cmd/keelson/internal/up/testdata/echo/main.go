// Command echo is the service that the tests of up and call run: gRPC's own
// interop service, with all four kinds of methods, on the chassis.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/lifecycle"
)

// version is changed by the test of --watch.
const version = "one"

type config struct {
	keelson.Config `yaml:",inline"`
	Edge           edge.Config `yaml:"edge"`
}

// hold waits for a file whose name ends in .go, where the tests want that, after it
// has made the one without.
func hold(ctx context.Context, path string) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(path + ".go"); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func main() {
	if err := run(); err != nil && !errors.Is(err, keelson.ErrPrinted) {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := lifecycle.SignalContext(context.Background())
	defer stop()
	var cfg config
	if err := keelson.LoadConfig(&cfg, os.Args[1:]); err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { fmt.Fprintln(os.Stderr, "echo: told to stop") })
	defer func() { fmt.Fprintln(os.Stderr, "echo: stopped") }()
	s, err := keelson.New(cmp.Or(os.Getenv("ECHO_NAME"), "echo"), cfg.Config)
	if err != nil {
		return err
	}
	grpc_testing.RegisterTestServiceServer(s, &service{})
	if os.Getenv("KEELSON_EDGE__ADDRESS") != "" {
		if _, err := edge.New(s, cfg.Edge); err != nil {
			return err
		}
	}
	if path := os.Getenv("ECHO_HOLD"); path != "" {
		if err := hold(ctx, path); err != nil {
			return err
		}
	}
	return s.Run(ctx)
}

type service struct {
	grpc_testing.UnimplementedTestServiceServer
}

func (*service) EmptyCall(context.Context, *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	return &grpc_testing.Empty{}, nil
}

// UnaryCall answers with its payload; a response status asks for an error.
func (*service) UnaryCall(_ context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	if r.GetResponseStatus().GetCode() != 0 {
		return nil, errs.InvalidArgument("ASKED_FOR", "%s", r.GetResponseStatus().GetMessage()).
			With(errs.Field("response_status", "ASKED", "you asked for it"), errs.Meta("key", "value"))
	}
	return &grpc_testing.SimpleResponse{Payload: r.GetPayload(), Username: version, ServerId: os.Getenv("KEELSON_INSTANCE_ID")}, nil
}

// StreamingOutputCall sends a message of each size.
func (*service) StreamingOutputCall(r *grpc_testing.StreamingOutputCallRequest, s grpc_testing.TestService_StreamingOutputCallServer) error {
	for _, p := range r.GetResponseParameters() {
		if err := s.Send(sized(p)); err != nil {
			return err
		}
	}
	return nil
}

// StreamingInputCall adds up what it gets.
func (*service) StreamingInputCall(s grpc_testing.TestService_StreamingInputCallServer) error {
	var sum int32
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return s.SendAndClose(&grpc_testing.StreamingInputCallResponse{AggregatedPayloadSize: sum})
		}
		if err != nil {
			return err
		}
		sum += int32(len(r.GetPayload().GetBody()))
	}
}

// FullDuplexCall answers each message as it comes.
func (*service) FullDuplexCall(s grpc_testing.TestService_FullDuplexCallServer) error {
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, p := range r.GetResponseParameters() {
			if err := s.Send(sized(p)); err != nil {
				return err
			}
		}
	}
}

func sized(p *grpc_testing.ResponseParameters) *grpc_testing.StreamingOutputCallResponse {
	return &grpc_testing.StreamingOutputCallResponse{Payload: &grpc_testing.Payload{Body: make([]byte, p.GetSize())}}
}
