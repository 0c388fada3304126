package keelson

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/keelson-dev/keelson/lifecycle"
)

// Main is the whole of a service's main function: it runs a function under a
// context that the first SIGINT or SIGTERM ends, prints its error, and exits
// with 0 or 1. A second signal exits at once. [ErrPrinted] is success.
func Main(run func(ctx context.Context) error) {
	os.Exit(exitCode(run, os.Stderr))
}

func exitCode(run func(ctx context.Context) error, stderr io.Writer) int {
	ctx, stop := lifecycle.SignalContext(context.Background())
	defer stop()
	err := run(ctx)
	if err == nil || errors.Is(err, ErrPrinted) {
		return 0
	}
	fmt.Fprintln(stderr, "error:", err)
	return 1
}
