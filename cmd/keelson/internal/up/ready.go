package up

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
)

// awaitRegistered follows the registry until the process is in it, and returns
// the addresses that it chose.
func awaitRegistered(ctx context.Context, registry, service, id string, pid int) (discovery.Instance, error) {
	driver, err := file.New(registry, file.Config{})
	if err != nil {
		return discovery.Instance{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var found discovery.Instance
	err = driver.Watch(ctx, discovery.Query{Service: service}, func(u discovery.Update) {
		for _, in := range u.Instances {
			if in.ID == id && in.PID == pid {
				found = in
				cancel()
			}
		}
	})
	if found.ID != "" {
		return found, nil
	}
	return discovery.Instance{}, err
}

// awaitHealthy follows the gRPC health of an instance until it says SERVING:
// that of the ops listener, which is plaintext, or else that of the service's.
func awaitHealthy(ctx context.Context, in discovery.Instance) error {
	address := in.OpsAddress
	if address == "" {
		address = in.Address
	}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("ask %s for its health: %w", in.ID, err)
	}
	defer func() { _ = conn.Close() }()
	watch, err := grpc_health_v1.NewHealthClient(conn).Watch(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("ask %s for its health: %w", in.ID, err)
	}
	for {
		answer, err := watch.Recv()
		if err != nil {
			return fmt.Errorf("ask %s for its health: %w", in.ID, err)
		}
		if answer.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING {
			return nil
		}
	}
}

// errEnded is why an instance is not awaited any longer.
var errEnded = errors.New("the process ended before it was healthy")

// awaitReady waits until a process is registered and healthy. It gives up when
// the process ends or the context does.
func awaitReady(ctx context.Context, registry, service, id string, p *process) (discovery.Instance, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waited := make(chan struct{})
	defer func() { <-waited }()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(waited)
		select {
		case <-p.done:
			cancel(errEnded)
		case <-stop:
		}
	}()
	in, err := awaitRegistered(ctx, registry, service, id, p.pid)
	if err == nil {
		err = awaitHealthy(ctx, in)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return in, err
}
