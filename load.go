package keelson

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/keelson-dev/keelson/internal/config"
	"github.com/keelson-dev/keelson/policy"
)

// ErrPrinted is what [LoadConfig] returns when it was asked to print the
// configuration or the help and has done so. A main then ends with success.
var ErrPrinted = errors.New("printed what was asked for")

// configVariable names the file when --config does not.
const configVariable = "KEELSON_CONFIG"

// LoadConfig fills a struct that is, or embeds, a [Config]: what it holds
// already is the default, over it come the file named by --config or
// KEELSON_CONFIG, the environment (KEELSON_GRPC__ADDRESS sets grpc.address) and
// flags (--set grpc.address=...). The arguments are os.Args[1:].
//
// All faults are reported at once, each with its place and what would be valid.
// With --print-config it prints the effective values and where each came from,
// and returns [ErrPrinted].
func LoadConfig(into any, args []string) error {
	return loadConfig(into, args, os.Stdout, os.Stderr)
}

func loadConfig(into any, args []string, stdout, stderr io.Writer) error {
	cfg, err := embedded(into)
	if err != nil {
		return err
	}
	var set setFlags
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config", os.Getenv(configVariable), "YAML `file` with settings (env "+configVariable+")")
	show := flags.Bool("print-config", false, "print the effective settings and where each came from, then exit")
	flags.Var(&set, "set", "set `key=value`, such as grpc.address=127.0.0.1:0; may be repeated")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return ErrPrinted
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; settings are given as --set key=value", flags.Arg(0))
	}
	loaded, err := config.Load(into, config.Options{File: *file, Reserved: []string{configVariable}, Set: set})
	if err != nil {
		return err
	}
	cfg.loaded = loaded
	if !*show {
		return nil
	}
	if err := loaded.Print(stdout); err != nil {
		return err
	}
	return ErrPrinted
}

type setFlags []string

func (s *setFlags) String() string { return strings.Join(*s, " ") }

func (s *setFlags) Set(v string) error {
	*s = append(*s, v)
	return nil
}

// embedded finds the Config in a struct.
func embedded(into any) (*Config, error) {
	if cfg, ok := into.(*Config); ok && cfg != nil {
		return cfg, nil
	}
	v := reflect.ValueOf(into)
	if v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() == reflect.Struct {
		if f := v.Elem().FieldByName("Config"); f.IsValid() && f.CanAddr() {
			if cfg, ok := f.Addr().Interface().(*Config); ok {
				return cfg, nil
			}
		}
	}
	return nil, fmt.Errorf("load configuration into %T: want a pointer to keelson.Config or to a struct that embeds it inline", into)
}

// watchConfig reloads what may change while the service runs.
func (s *Service) watchConfig(ctx context.Context) error {
	return s.cfg.loaded.Watch(ctx, s.reload)
}

// keepsRetries refuses what connections that were dialled already would not hear:
// gRPC takes their retries once.
func keepsRetries(m *policy.Method, next *policy.Effective) error {
	if now := m.Effective().RetryAttempts; now != next.RetryAttempts {
		return fmt.Errorf("retry_attempts of %s changed from %d to %d (%s) and cannot change while the service runs; it needs a restart; set it back, or restart the instance",
			m.FullName, now, next.RetryAttempts, next.Source(policy.FieldRetryAttempts))
	}
	return nil
}

// reload takes over a changed configuration, or nothing of it.
func (s *Service) reload() {
	var cfg *Config
	changed, _, err := s.cfg.loaded.Reload(func(next any, source func(string) config.Source) error {
		var err error
		if cfg, err = embedded(next); err != nil {
			return err
		}
		return s.applyPolicy(cfg, source, s.fitsDrain, keepsRetries)
	})
	switch {
	case err != nil:
		s.log.Error("the changed configuration was refused; nothing changed", "error", err)
	case len(changed) > 0:
		s.applyLog(cfg, slices.Contains(changed, "log.level"))
		s.tel.traces.SetRatio(cfg.Trace.Ratio)
		s.log.Info("the configuration changed", "changed", changed)
	}
}
