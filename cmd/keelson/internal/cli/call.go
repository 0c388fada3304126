package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	_ "github.com/keelson-dev/keelson/services/audit/api/audit/v1" // the contracts: types, policies, completion
	_ "github.com/keelson-dev/keelson/services/user/api/user/v1"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/call"
)

func (a *app) call() *cobra.Command {
	opts := call.Options{}
	c := &cobra.Command{
		Use:   "call TARGET METHOD [JSON | @file | -]",
		Short: "call a method of a running service, with JSON in and out",
		Long: `call makes one call, of any of the four kinds. What the method looks like comes
from the server's reflection, or from a descriptor set.

TARGET is the name of a service that ` + "`keelson up`" + ` runs in this directory or one
above it (or that stands in $KEELSON_DISCOVERY__FILE__DIR), host:port, or a URL,
such as consul:///user (where the KEELSON_DISCOVERY__CONSUL__ variables say).
METHOD is the full name or any end of it: GetUser, UserService/GetUser,
user.v1.UserService/GetUser.

The request is given as JSON, as @file, or on standard input with "-". Methods
that take a stream read one JSON message per line (NDJSON), which is sent as it
is read; without an argument they read standard input. Methods that answer with a
stream print one JSON message per line, as it comes; others print one document.

Exit code: 0 when the call succeeded; 64 plus the code of the status when it did
not (NOT_FOUND is 69, UNAVAILABLE is 78); 1 when it could not be made, or when the
input has a fault: then what came before the fault was sent and answered; 130
when it was interrupted. A reader that goes away (| head) ends it with 0.`,
		Example: `  keelson call user GetUser '{"name": "users/ada-l"}'
  keelson call user ImportUsers @users.ndjson > answers.ndjson
  keelson call user WatchUsers '{"includeInitialState": true}' | head -3
  keelson call 127.0.0.1:9090 user.v1.UserService/ListUsers --deadline 3s
  keelson call https://api.example.com ListUsers --header 'authorization: Bearer ...'
  keelson call localhost:9090 GetUser --descriptor-set user.binpb -`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 3 {
				return usageError(c, "call takes TARGET METHOD and at most one request", args)
			}
			return nil
		},
		ValidArgsFunction: completeCall,
		RunE: func(c *cobra.Command, args []string) error {
			if opts.Deadline < 0 || c.Flags().Changed("deadline") && opts.Deadline == 0 {
				return fmt.Errorf("--deadline is %s; give a time that has not passed, such as 3s", opts.Deadline)
			}
			opts.Target, opts.Method = args[0], args[1]
			if len(args) == 3 {
				opts.Input = &args[2]
			}
			opts.In, opts.Out, opts.Err = a.streams.In, a.streams.Out, a.streams.Err
			return call.Run(c.Context(), opts)
		},
	}
	f := c.Flags()
	f.StringArrayVarP(&opts.Headers, "header", "H", nil, "send a header, `'name: value'`; may be repeated; values of names in -bin are base64")
	f.DurationVarP(&opts.Deadline, "deadline", "d", 0, "give the call at most this `duration`, such as 3s (default: as the method's policy says)")
	f.StringVar(&opts.DescriptorSet, "descriptor-set", "", "take the methods from a `file` with a FileDescriptorSet instead of reflection")
	f.BoolVar(&opts.Defaults, "defaults", false, "show fields that have their default value")
	f.BoolVarP(&opts.Verbose, "verbose", "v", false, "show peer, headers, trailers and the client's log")
	securityFlags(c, &opts.Security)
	return c
}

// securityFlags adds the flags of how a connection is made.
func securityFlags(c *cobra.Command, s *call.Security) {
	f := c.Flags()
	f.StringVar(&s.TLS.CAFile, "ca-file", "", "speak TLS, and trust the authorities in this PEM `file`")
	f.StringVar(&s.TLS.CertFile, "cert-file", "", "show the client certificate in this PEM `file`")
	f.StringVar(&s.TLS.KeyFile, "key-file", "", "PEM `file` of its private key")
	f.StringVar(&s.TLS.ServerName, "server-name", "", "expect this `name` in the server's certificate")
	f.BoolVar(&s.Insecure, "insecure", false, "permit plaintext to other machines")
}
