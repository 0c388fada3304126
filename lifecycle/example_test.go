package lifecycle_test

import (
	"context"
	"fmt"
	"time"

	"github.com/keelson-dev/keelson/lifecycle"
)

// The order in which a service starts, drains and stops.
func Example() {
	ctx, terminate := context.WithCancel(context.Background())
	say := func(line string) lifecycle.Func {
		return func(context.Context) error { fmt.Println(line); return nil }
	}
	r := lifecycle.New(lifecycle.Config{DrainBudget: 30 * time.Second})
	r.OnStart("store", say("start: open store"))
	r.OnStop("store", say("stop: close store"))
	r.OnStart("listen", say("start: listen"))
	r.OnStart("telemetry", say("start: telemetry"))
	r.OnStop("telemetry", say("stop: flush telemetry"))
	r.Go("server", func(ctx context.Context) error {
		terminate() // what a SIGTERM does
		<-ctx.Done()
		return nil
	})
	r.OnDrain(
		lifecycle.Step{Name: "health", Run: say("drain: health NOT_SERVING")},
		lifecycle.Step{Name: "deregister", Budget: 2 * time.Second, BestEffort: true, Run: say("drain: deregister")},
		lifecycle.Step{Name: "propagate", Budget: 5 * time.Second, Run: say("drain: serve while clients learn it")},
		lifecycle.Step{Name: "streams", Budget: time.Second, Run: say("drain: tell streams")},
		lifecycle.Step{Name: "edge", Budget: 5 * time.Second, Run: say("drain: shut the edge down")},
		lifecycle.Step{Name: "goaway", Budget: 15 * time.Second, Run: say("drain: GOAWAY, wait for calls")},
		lifecycle.Step{Name: "stop", Run: say("drain: stop the server")},
	)
	if err := r.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// start: open store
	// start: listen
	// start: telemetry
	// drain: health NOT_SERVING
	// drain: deregister
	// drain: serve while clients learn it
	// drain: tell streams
	// drain: shut the edge down
	// drain: GOAWAY, wait for calls
	// drain: stop the server
	// stop: flush telemetry
	// stop: close store
}
