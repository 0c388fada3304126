// Command keelson runs a platform of services on one machine, calls their
// methods and explains the policies of these. See `keelson --help`.
package main

import (
	"os"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
