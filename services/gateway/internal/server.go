// Package internal is the gateway: it exposes the services on its allow-list and
// forwards their calls without knowing their Go types.
package internal

import (
	"context"

	"github.com/keelson-dev/keelson"
)

// Name is the name under which the gateway is registered and found.
const Name = "gateway"

// Run loads the configuration from args, environment and file, and serves until
// the context ends and the instance has drained.
func Run(ctx context.Context, args []string) error {
	cfg := DefaultConfig()
	if err := keelson.LoadConfig(&cfg, args); err != nil {
		return err
	}
	service, err := keelson.New(Name, cfg.Config, Options()...)
	if err != nil {
		return err
	}
	if err := Register(service, cfg); err != nil {
		return err
	}
	return service.Run(ctx)
}

// Options are what the gateway wants of its chassis.
func Options() []keelson.Option { return nil }

// Register adds the gateway to a chassis service.
func Register(_ *keelson.Service, cfg Config) error { return cfg.Validate() }
