// Command lab runs the real platform as processes, drives it at a fixed rate,
// does to it what happens to platforms, and says what was lost.
//
//	go -C lab run . [-faults a,b,...|all] [-short|-full] [-instances n] [-rate r]
//	                [-duration d] [-seed s] [-seeds n] [-json file] [-list] [-keep] [-v]
//	go -C lab run . report FILE...
//
// The first form prints a table and exits with 1 if something did not hold. The
// second writes docs/reliability.md from the JSON files of full runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to do
	}
}

// errFailed says that something did not hold; the table says what.
var errFailed = errors.New("something did not hold; see FAILED above")
