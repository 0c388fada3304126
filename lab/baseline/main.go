// Command baseline runs three rows of the lab against plain grpc-go: a client
// and servers with a registration in Consul by hand, round_robin, and nothing of
// the chassis. The table has the same columns, so that it says what the chassis
// is worth.
//
//	go -C lab run ./baseline [-faults rolling,kill9,sigstop] [-full] [-instances n] [-rate r] [-seed s] [-seeds n] [-json file]
//
// What does not hold here is no failure of the command.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keelson-dev/keelson/lab/internal/platform"
	"github.com/keelson-dev/keelson/lab/internal/report"
	"github.com/keelson-dev/keelson/lab/internal/rows"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "baseline:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to do
	}
}

func run(ctx context.Context) error {
	var o rows.Options
	faults := flag.String("faults", strings.Join(plainRows(), ","), "rows to run")
	flag.IntVar(&o.Seeds, "seeds", 1, "how often each row is run, each time with the next seed")
	to := flag.String("json", "", "file to write the results to")
	flag.BoolVar(&o.Full, "full", false, "the full form")
	flag.IntVar(&o.Instances, "instances", 3, "instances of the server")
	flag.Float64Var(&o.Rate, "rate", 200, "calls per second; a row may have a rate of its own")
	flag.DurationVar(&o.Duration, "duration", 0, "how long the fault lasts; 0: as the row says")
	flag.Uint64Var(&o.Seed, "seed", 1, "decides what is called and when")
	flag.Parse()
	chosen, err := choose(*faults)
	if flag.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q; rows are chosen with -faults", flag.Arg(0))
	}
	if err := errors.Join(err, o.Validate()); err != nil {
		return err
	}
	if err := report.Writable(*to); err != nil {
		return fmt.Errorf("-json: %w", err)
	}
	root, err := platform.FindRoot()
	if err != nil {
		return err
	}
	begun := time.Now()
	o.Root = root
	o.Log = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%6.1fs %s\n", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
	}
	p, err := platform.Open(ctx, platform.Config{Root: root, Registry: "consul", Log: o.Log, Programs: map[string]string{"user": "lab/baseline/server"}})
	if err != nil {
		return err
	}
	return errors.Join(table(ctx, p, o, chosen, *to), p.Close(), p.Remove())
}

// plainRows are the rows that need nothing of the chassis.
func plainRows() []string { return []string{"rolling", "kill9", "sigstop"} }

// choose finds the rows that -faults names.
func choose(names string) (chosen []rows.Row, err error) {
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		row, ok := rows.Named(name)
		if !ok || !slices.Contains(plainRows(), name) {
			return nil, fmt.Errorf("-faults: there is no row %q here; the rows are %s", name, strings.Join(plainRows(), ", "))
		}
		chosen = append(chosen, row)
	}
	return chosen, nil
}

// table runs the rows and prints them.
func table(ctx context.Context, p *platform.Platform, o rows.Options, chosen []rows.Row, to string) error {
	file := &report.File{Conditions: report.Here(o.Root)}
	file.Conditions.Registry, file.Conditions.Rate, file.Conditions.Instances, file.Conditions.Full = "consul, by hand", o.Rate, o.Instances, o.Full
	report.Head(os.Stdout)
	for _, row := range chosen {
		for n := range o.Seeds {
			with := o
			with.Seed += uint64(n) //nolint:gosec // at least 0
			r, err := rows.RunPlain(ctx, p, row, with, dial)
			if err != nil {
				return err
			}
			r.Row = "baseline-" + r.Row
			r.Line(os.Stdout)
			file.Results = append(file.Results, r)
			if err := file.Write(to); err != nil {
				return err
			}
		}
	}
	return nil
}

// dial makes the connection that a team makes without a chassis.
func dial(p *platform.Platform, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	client, err := p.Consul.Members()[0].API()
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(scheme+":///user", append(opts,
		grpc.WithResolvers(&builder{client}), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))...)
}
