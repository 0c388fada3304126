package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/explain"
)

func (a *app) explain() *cobra.Command {
	opts := explain.Options{}
	c := &cobra.Command{
		Use:   "explain [METHOD]",
		Short: "show what holds for a method, and where each value comes from",
		Long: `explain shows the effective policy of a method: deadline, retries, cost,
criticality, roles and rate limits, and for each where it was set: a default, the
option in the .proto, or file and line of a configuration; and what a client does
with a call: when it is sent again, to a second instance, or not at all.

If the platform runs here, an instance of it is asked, so that its file and its
environment count. Otherwise the contract speaks that is linked into this
program, or with --target host:port the one that a server declares. Without
METHOD it lists all methods, and with the name of a service those of it.`,
		Example: `  keelson explain                      # all methods
  keelson explain UserService          # those of a service
  keelson explain GetUser
  keelson explain user.v1.UserService/CreateUser --json
  keelson explain GetUser --contract   # what the .proto says, whatever runs
  keelson explain GetUser --target 127.0.0.1:9090`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError(c, "explain takes one METHOD", args)
			}
			return nil
		},
		ValidArgsFunction: completeMethod,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				opts.Method = args[0]
			}
			if opts.Contract && opts.Target != "" {
				return fmt.Errorf("--contract and --target exclude each other: the first asks nobody")
			}
			opts.Out = a.streams.Out
			return explain.Run(c.Context(), opts)
		},
	}
	f := c.Flags()
	f.StringVarP(&opts.Target, "target", "t", "", "ask this `service`, or the server at host:port")
	f.BoolVar(&opts.Contract, "contract", false, "ask nobody: show what the contract linked into this program says")
	f.BoolVar(&opts.JSON, "json", false, "print JSON")
	securityFlags(c, &opts.Security)
	_ = c.RegisterFlagCompletionFunc("target", completeTarget) // it fails for unknown flags only
	return c
}
