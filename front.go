package keelson

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/keelson-dev/keelson/lifecycle"
)

// Front is a listener of other protocols in front of a service's gRPC server,
// such as that of package edge. The service calls its methods one after another,
// but for Serve.
type Front interface {
	// Listen opens the listener and accepts nothing yet. An error ends the start.
	Listen(ctx context.Context) error
	// Serve accepts until Shutdown or Close, and returns nil then. Another error
	// ends the service.
	Serve() error
	// Leave says that the instance leaves: answers from now on ask their clients
	// to connect anew, which then reach another instance.
	Leave()
	// Shutdown accepts nothing more and waits for the requests in flight, at most
	// until the context ends. Streams have been asked to end before.
	Shutdown(ctx context.Context) error
	// Close ends at once what is left, and waits for it. It may be called again,
	// and for a front that never listened.
	Close() error
	// Address is the host:port that it listens on; empty before Listen.
	Address() string
}

// front is a front that a service was given.
type front struct {
	Front
	name string
}

// AddFront adds a front: it listens and serves when the service does, and takes
// part in its drain, before the gRPC server leaves. Its calls come in by
// [Service.ServeHTTP]. After Run was called it is logged and ignored.
func (s *Service) AddFront(name string, f Front) {
	if s.ran.Load() {
		s.log.Error("a front was added too late and is not served; add it before Run", "front", name)
		return
	}
	s.fronts = append(s.fronts, front{f, name})
	s.runner = lifecycle.New(s.budgets(), lifecycle.WithLogger(s.log)) // the drain is longer by one step
}

// ServeHTTP serves one native gRPC call that came by net/http: a request of HTTP/2
// with the content type application/grpc. It reaches the same handlers, with the
// same policy and telemetry, as one that came by the gRPC listener. While the
// service does not run the answer is 503.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	server := s.overHTTP.Load()
	if server == nil {
		http.Error(w, "the service does not run", http.StatusServiceUnavailable)
		return
	}
	server.ServeHTTP(w, throughIntake(r))
}

// frontAddresses tells the registry where the fronts listen, as in edge_address.
func (s *Service) frontAddresses() map[string]string {
	if len(s.fronts) == 0 {
		return nil
	}
	meta := make(map[string]string, len(s.fronts))
	for _, f := range s.fronts {
		if a := f.Address(); a != "" {
			meta[f.name+"_address"] = a
		}
	}
	return meta
}

// leaveFronts tells the fronts that the instance leaves.
func (s *Service) leaveFronts() {
	for _, f := range s.fronts {
		f.Leave()
	}
}

// shutFronts lets the requests of all fronts finish. It comes before gRPC's own
// graceful stop, which cuts off calls that came by net/http.
func (s *Service) shutFronts(ctx context.Context) error {
	faults := make([]error, len(s.fronts))
	var shut sync.WaitGroup
	for i, f := range s.fronts {
		shut.Go(func() {
			if err := f.Shutdown(ctx); err != nil {
				faults[i] = fmt.Errorf("requests of %s are cut off that did not end within their deadline: %w", f.name, err)
			}
		})
	}
	shut.Wait()
	return errors.Join(faults...)
}

// closeFronts ends what is left of the fronts.
func (s *Service) closeFronts() error {
	var faults []error
	for _, f := range s.fronts {
		if err := f.Close(); err != nil {
			faults = append(faults, fmt.Errorf("close %s: %w", f.name, err))
		}
	}
	return errors.Join(faults...)
}
