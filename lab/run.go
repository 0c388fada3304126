package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keelson-dev/keelson/lab/internal/platform"
	"github.com/keelson-dev/keelson/lab/internal/report"
	"github.com/keelson-dev/keelson/lab/internal/rows"
)

// settings are the command's flags.
type settings struct {
	faults, registry, json string
	full, list, keep, all  bool
	options                rows.Options
}

// parse reads the command line. flag.ErrHelp says that usage was asked for, and
// was written.
func parse(args []string, usage io.Writer) (settings, error) {
	var s settings
	var short bool
	f := flag.NewFlagSet("lab", flag.ContinueOnError)
	f.SetOutput(io.Discard) // an error is said once, by main
	f.StringVar(&s.faults, "faults", "all", "rows to run, separated by commas; -list shows them")
	f.BoolVar(&short, "short", false, "the short form, which is the default: invariants and counts")
	f.BoolVar(&s.full, "full", false, "the full form: percentages, long faults, bounds on times")
	f.IntVar(&s.options.Instances, "instances", 3, "instances of the user service")
	f.Float64Var(&s.options.Rate, "rate", 200, "calls per second; a row may have a rate of its own")
	f.DurationVar(&s.options.Duration, "duration", 0, "how long the fault lasts; 0: as the row says")
	f.Uint64Var(&s.options.Seed, "seed", 1, "decides what is called and when")
	f.IntVar(&s.options.Seeds, "seeds", 1, "how often each row is run, each time with the next seed")
	f.StringVar(&s.json, "json", "", "file to write the results to")
	f.StringVar(&s.registry, "registry", "consul", "consul or file")
	f.BoolVar(&s.list, "list", false, "list the rows")
	f.BoolVar(&s.keep, "keep", false, "keep the logs of the processes")
	f.BoolVar(&s.all, "v", false, "show what held, too")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.SetOutput(usage)
		f.Usage()
		return s, err
	case err != nil:
		return s, fmt.Errorf("%w; -h shows the flags", err)
	case f.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q; rows are chosen with -faults", f.Arg(0))
	case short && s.full:
		return s, errors.New("-short and -full exclude each other")
	}
	s.options.Full = s.full
	if s.registry != "consul" && s.registry != "file" {
		err = fmt.Errorf("-registry is %q; give consul or file", s.registry)
	}
	return s, errors.Join(s.options.Validate(), err)
}

func run(ctx context.Context, args []string) error {
	root, err := platform.FindRoot()
	if err != nil {
		return err
	}
	if len(args) > 0 && args[0] == "report" {
		return writeReport(root, args[1:])
	}
	s, err := parse(args, os.Stdout)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	s.options.Root = root
	chosen, err := choose(s.faults)
	if err != nil {
		return err
	}
	if s.list {
		for _, r := range chosen {
			fmt.Printf("%-15s %s\n", r.Name, r.Promise)
		}
		return nil
	}
	if err := report.Writable(s.json); err != nil {
		return fmt.Errorf("-json: %w", err)
	}
	return measure(ctx, s, chosen)
}

// measure runs the rows and prints the table.
func measure(ctx context.Context, s settings, chosen []rows.Row) (err error) {
	begun := time.Now()
	progress := newProgress(os.Stderr)
	s.options.Log, s.options.Live = progress.log, progress.live()
	p, err := platform.Open(ctx, platform.Config{Root: s.options.Root, Registry: s.registry, Log: progress.log})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, p.Close())
		if interrupted := ctx.Err() != nil; s.keep || err != nil && !interrupted && !errors.Is(err, errFailed) {
			fmt.Fprintln(os.Stderr, "the logs are in", p.Dir)
			return
		}
		err = errors.Join(err, p.Remove())
	}()
	file := &report.File{Conditions: report.Here(s.options.Root)}
	c := &file.Conditions
	c.Registry, c.Rate, c.Instances, c.Full = s.registry, s.options.Rate, s.options.Instances, s.full
	failed := false
	report.Head(os.Stdout)
	for _, row := range chosen {
		for n := range s.options.Seeds {
			o := s.options
			o.Seed += uint64(n) //nolint:gosec // at least 0
			progress.enter(fmt.Sprintf("%s (seed %d)", row.Name, o.Seed))
			result, err := rows.Run(ctx, p, row, o)
			progress.clear()
			if err != nil {
				return err
			}
			result.Line(os.Stdout)
			result.Details(os.Stdout, s.all)
			failed = failed || result.Skipped == "" && !result.OK
			file.Results = append(file.Results, result)
			if err := file.Write(s.json); err != nil {
				return err
			}
		}
	}
	fmt.Printf("results: %d, in %s\n", len(file.Results), time.Since(begun).Round(time.Second))
	if failed {
		return errFailed
	}
	return nil
}

// writeReport writes docs/reliability.md from files that -json wrote.
func writeReport(root string, names []string) error {
	if len(names) == 0 {
		return errors.New("report: no files; give those that -json wrote")
	}
	var files []*report.File
	for _, name := range names {
		f, err := report.Read(name)
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
		files = append(files, f)
	}
	var order []string
	for _, r := range rows.All() {
		order = append(order, r.Name)
	}
	var page bytes.Buffer
	if err := report.Markdown(&page, files, order); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return os.WriteFile(filepath.Join(root, "docs", "reliability.md"), page.Bytes(), 0o644) //nolint:gosec // for everybody to read
}

// choose finds the rows that -faults names.
func choose(names string) ([]rows.Row, error) {
	if names == "all" {
		return rows.All(), nil
	}
	var chosen []rows.Row
	for name := range strings.SplitSeq(names, ",") {
		r, ok := rows.Named(strings.TrimSpace(name))
		if !ok {
			return nil, fmt.Errorf("-faults: there is no row %q; -list shows them", name)
		}
		chosen = append(chosen, r)
	}
	return chosen, nil
}
