package up

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	settingPrefix = "KEELSON_"
	// printTime is the most time for a service to print its configuration.
	printTime = 5 * time.Second
)

// shellSettings returns the names of the settings in an environment, without
// those that up decides for each instance.
func shellSettings(environ []string) (names []string) {
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, settingPrefix) && name != "KEELSON_CONFIG" && !slices.Contains(ours, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// knows reports whether a configuration, as --print-config prints it, has the
// setting of a variable. What may have any key is left to the service.
func knows(config map[string]any, variable string) bool {
	at := any(config)
	for _, key := range strings.Split(strings.ToLower(strings.TrimPrefix(variable, settingPrefix)), "__") {
		switch node := at.(type) {
		case map[string]any:
			if len(node) == 0 {
				return true
			}
			next, ok := node[key]
			if !ok {
				return false
			}
			at = next
		case []any:
			return true
		default:
			return false
		}
	}
	return true
}

// share finds out which settings of the shell are whose: a service refuses
// those that it does not have, and the shell is everybody's. A setting that
// nobody has is an error, since it is misspelled.
func (p *platform) share(ctx context.Context) error {
	names := shellSettings(p.environ)
	if len(names) == 0 {
		return nil
	}
	known := map[string]bool{}
	for _, g := range p.groups {
		config, err := p.printed(ctx, g.service)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for _, name := range names {
			// A service that cannot be asked is given all, and judges itself.
			if err != nil || knows(config, name) {
				known[name] = true
			} else {
				g.service.foreign = append(g.service.foreign, name)
			}
		}
	}
	for _, name := range names {
		if !known[name] {
			return fmt.Errorf("the environment has %s, but no service of %s has such a setting; correct or unset it (%s --print-config shows the settings of %s)",
				name, p.opts.File, p.build.program(p.groups[0].service), p.groups[0].service.Name)
		}
	}
	return nil
}

// printed asks the program of a service for its configuration, without the
// settings of the shell.
func (p *platform) printed(ctx context.Context, s *Service) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, printTime)
	defer cancel()
	base := slices.DeleteFunc(slices.Clone(p.environ), func(v string) bool { return strings.HasPrefix(v, settingPrefix) })
	var stdout bytes.Buffer
	cmd := exec.Command(p.build.program(s), append(slices.Clone(s.Args), "--print-config")...) //nolint:gosec // it was built here
	cmd.Dir, cmd.Stdout = p.ws.Root, &stdout
	cmd.Env = p.file.environment(base, s, s.Name+"-settings", p.ws.Registry())
	asked, err := p.spawn.start(cmd)
	if err != nil {
		return nil, err
	}
	if ended := asked.within(ctx); ended != nil {
		return nil, fmt.Errorf("print the configuration of %s: %w", s.Name, ended)
	}
	var config map[string]any
	if err := yaml.Unmarshal(stdout.Bytes(), &config); err != nil {
		return nil, fmt.Errorf("read the configuration of %s: %w", s.Name, err)
	}
	return config, nil
}
