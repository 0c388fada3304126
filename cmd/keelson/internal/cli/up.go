package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/up"
)

func (a *app) up() *cobra.Command {
	opts := up.Options{Program: a.program}
	c := &cobra.Command{
		Use:   "up",
		Short: "build the platform, run its instances and show their logs",
		Long: `up reads keelson.yaml, builds each service with the Go toolchain, starts its
instances as processes on ports of their own choice, waits until all are healthy,
prints where they are, and then shows their logs. It needs Go and nothing else:
data go to an embedded database in .keelson/data, and are there in the next run.

An instance that crashes is started again. Ctrl-C drains the instances in order;
a second Ctrl-C kills them at once. Nothing is left running in either case.`,
		Example: `  keelson up                     # what keelson.yaml says
  keelson up --instances 1       # one instance of each service
  keelson up --watch             # rebuild on change, replace instances without a failed call
  keelson up --file ../keelson.yaml > up.log`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			opts.Output = a.streams.Out
			if n := opts.Instances; c.Flags().Changed("instances") && (n < 1 || n > up.MaxInstances) {
				return fmt.Errorf("--instances is %d; give 1 to %d", n, up.MaxInstances)
			}
			u := up.New(opts)
			a.kill = u.Kill
			ctx, stop := withParent(c.Context(), a.program == goRun, os.Getppid)
			defer stop()
			return u.Run(ctx)
		},
	}
	c.Flags().StringVarP(&opts.File, "file", "f", up.DefaultFile, "platform `file`")
	c.Flags().IntVarP(&opts.Instances, "instances", "n", 0, "run `n` instances of each service (default: as the file says)")
	c.Flags().BoolVarP(&opts.Watch, "watch", "w", false, "rebuild when Go files change, and replace the instances one after another")
	return c
}

func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q; see `%s --help`", args[0], c.CommandPath())
	}
	return nil
}

// parentPoll is how often withParent looks.
const parentPoll = 500 * time.Millisecond

// withParent ends the context when `go run` above us was killed: it does not
// pass SIGTERM on, and the platform would run on where nobody could stop it.
func withParent(ctx context.Context, goRun bool, parent func() int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if !goRun {
		return ctx, cancel
	}
	first := parent()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(parentPoll)
		defer tick.Stop()
		for parent() == first {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		cancel()
	}()
	return ctx, func() { cancel(); <-done }
}
