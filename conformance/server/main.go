// Command server is what connectconformance tests: the public conformance
// service of connectrpc.com on keelson and edge. The runner starts it, writes one
// size-delimited ServerCompatRequest to its input, reads where it listens from its
// output, and ends it with SIGTERM.
//
//	server          answers at the edge: gRPC, gRPC-Web and Connect
//	server -native  answers at the service's own gRPC listener
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/keelson-dev/keelson"

	conformancev1 "github.com/keelson-dev/keelson/conformance/internal/conformancev1"
)

func main() {
	native := flag.Bool("native", false, "answer at the native gRPC listener instead of the edge")
	flag.Parse()
	keelson.Main(func(ctx context.Context) error {
		wanted := &conformancev1.ServerCompatRequest{}
		if err := readMessage(os.Stdin, wanted); err != nil {
			return fmt.Errorf("read what the runner wants: %w", err)
		}
		return serve(ctx, wanted, *native, os.Stdout)
	})
}
