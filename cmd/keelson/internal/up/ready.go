package up

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

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

// healthPoll is how often an instance is asked that is registered but not yet
// healthy; as a rule the first answer is the last.
const healthPoll = 20 * time.Millisecond

// awaitHealthy asks an instance for its gRPC health until it says SERVING: on
// the ops listener, which is plaintext, or else on the service's.
func awaitHealthy(ctx context.Context, in discovery.Instance) error {
	conn, err := grpc.NewClient("passthrough:///"+cmp.Or(in.OpsAddress, in.Address), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("ask %s for its health: %w", in.ID, err)
	}
	defer func() { _ = conn.Close() }()
	tick := time.NewTicker(healthPoll)
	defer tick.Stop()
	for {
		answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
		switch {
		case err != nil:
			return fmt.Errorf("ask %s for its health: %w", in.ID, err)
		case answer.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING:
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// errEnded is why an instance is not awaited any longer.
var errEnded = errors.New("before it was healthy")

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
