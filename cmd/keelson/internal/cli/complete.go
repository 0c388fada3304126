package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/call"
	"github.com/keelson-dev/keelson/cmd/keelson/internal/workspace"
	"github.com/keelson-dev/keelson/policy"
)

// usageError says what is wrong with the arguments and how they go.
func usageError(c *cobra.Command, problem string, args []string) error {
	return fmt.Errorf("%s, but there are %d arguments; usage: %s; see `%s --help`", problem, len(args), c.UseLine(), c.CommandPath())
}

// completeCall completes targets from the registry and methods from the
// contracts that are linked in; the rest is files.
func completeCall(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return completeTarget(c, args, typed)
	case 1:
		return completeMethod(c, nil, typed)
	default:
		return nil, cobra.ShellCompDirectiveDefault
	}
}

// completeTarget offers the services that run here.
func completeTarget(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	registry, err := workspace.FindRegistry()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	instances, err := registry.Instances()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, name := range workspace.Services(instances) {
		if strings.HasPrefix(name, typed) {
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeMethod offers the short names of the methods that are linked in.
func completeMethod(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, m := range policy.NewTable(policy.Linked()...).Methods() {
		if call.Infrastructure(m.FullName) {
			continue
		}
		if strings.HasPrefix(m.Name, typed) {
			names = append(names, m.Name+"\t"+m.Kind.String()+" method of "+m.Service)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
