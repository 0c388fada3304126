// Package cli is the command line of keelson: its commands, their flags and
// their help. What the commands do is in packages of their own.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/call"
	"github.com/keelson-dev/keelson/lifecycle"
	"github.com/keelson-dev/keelson/telemetry/logs"
)

// Streams are what the commands read and write.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs one command line and returns the exit code of the process.
func Main(args []string, s Streams) int {
	// Writing to a pipe whose reader went away is an error to handle, not an end
	// without an orderly stop. Children get the signal's default back.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)
	if os.Getenv("GRPC_GO_LOG_SEVERITY_LEVEL") == "" {
		logs.RouteGRPC(slog.New(slog.DiscardHandler)) // what matters of it is in the errors of the calls
	}
	a := &app{streams: s, program: program(os.Args[0], os.Executable), exit: os.Exit}
	ctx, stop := lifecycle.SignalContext(context.Background(), lifecycle.WithExit(a.forced))
	defer stop()
	ctx, hangup := signal.NotifyContext(ctx, syscall.SIGHUP) // the terminal was closed
	defer hangup()
	return a.run(ctx, args)
}

// app is what the commands share.
type app struct {
	streams Streams
	program string
	exit    func(int)
	kill    func() // ends at once what a command has started; may be nil
}

// forced is what a second signal does.
func (a *app) forced(code int) {
	if a.kill != nil {
		a.kill()
	}
	a.exit(code)
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.streams.In)
	root.SetOut(a.streams.Out)
	root.SetErr(a.streams.Err)
	err := root.ExecuteContext(ctx)
	var sig *lifecycle.SignalError
	var exit *call.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if exit.Err != nil {
			fmt.Fprintf(a.streams.Err, "keelson: %v\n", exit.Err)
		}
		return exit.Code
	case errors.As(context.Cause(ctx), &sig) && ctx.Err() != nil:
		return 130
	default:
		fmt.Fprintf(a.streams.Err, "keelson: %v\n", err)
		return 1
	}
}

const help = `keelson runs a platform of gRPC services on your machine, calls their methods
and explains what holds for them.

Begin with a platform: build everything, start three instances, show their logs.

  $ {{program}} up

In another terminal, call any method, with JSON in and out:

  $ {{program}} call user CreateUser '{"userId": "ada-l", "user": {"email": "ada@example.com"}}'
  $ {{program}} call user ListUsers
  $ {{program}} call user ImportUsers @users.ndjson     # a stream: one message per line
  $ {{program}} call 127.0.0.1:9090 ListUsers | jq .    # any server with reflection

What are the deadline and the retries of a method, and who says so?

  $ {{program}} explain GetUser`

// root is the command without a name. Its help teaches.
func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:           "keelson",
		Short:         "run, call and explain gRPC services",
		Long:          strings.ReplaceAll(help, "{{program}}", a.program),
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       versionText(),
	}
	c.SetVersionTemplate("{{.Version}}\n")
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; see `%s --help`", err, c.CommandPath())
	})
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(a.up(), a.call(), a.explain(), a.version())
	return c
}

// goRun is how a program is called that has not been installed.
const goRun = "go run ./cmd/keelson"

// program is how the user calls this program: the suggestions are to work as
// they are printed.
func program(arg0 string, executable func() (string, error)) string {
	path, err := executable()
	if err == nil && strings.Contains(path, string(filepath.Separator)+"go-build") {
		return goRun
	}
	if strings.ContainsRune(arg0, filepath.Separator) {
		return arg0
	}
	return filepath.Base(arg0)
}
