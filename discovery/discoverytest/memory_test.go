package discoverytest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/keelson-dev/keelson/discovery"
)

// registry is a registry in memory.
type registry struct {
	mu      sync.Mutex
	away    bool
	byKey   map[[2]string]discovery.Instance
	garbage map[string]int
	news    chan struct{} // closed and replaced with each change
}

func newRegistry() *registry {
	return &registry{byKey: map[[2]string]discovery.Instance{}, garbage: map[string]int{}, news: make(chan struct{})}
}

func (r *registry) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.news)
	r.news = make(chan struct{})
}

var errAway = errors.New("memory registry: away")

// fault is a way to break the contract.
type fault string

// driver is a discovery.Driver on a registry, with a fault or without.
type driver struct {
	r     *registry
	fault fault
}

func (d driver) Scheme() string { return "memory" }
func (d driver) String() string { return "memory registry" }

func (d driver) key(in discovery.Instance) [2]string {
	if d.fault == "IDs differ in case only" {
		in.ID = strings.ToLower(in.ID)
	}
	if d.fault == "services share their IDs" {
		in.Service = ""
	}
	return [2]string{in.Service, in.ID}
}

// attempt does what Register, Check and Deregister have in common.
func (d driver) attempt(ctx context.Context, in discovery.Instance, f func() error) error {
	if err := ctx.Err(); err != nil && d.fault != "an ended context is ignored" {
		return err
	}
	if err := in.Validate(); err != nil && d.fault != "names are not validated" {
		return err
	}
	var err error
	d.r.change(func() {
		if d.r.away {
			err = errAway
			return
		}
		err = f()
	})
	return err
}

func (d driver) Register(ctx context.Context, in discovery.Instance) error {
	return d.attempt(ctx, in, func() error {
		if d.fault == "metadata is lost" {
			in.Meta = nil
		}
		d.r.byKey[d.key(in)] = in
		return nil
	})
}

func (d driver) Check(ctx context.Context, in discovery.Instance) error {
	if d.fault == "Check never misses anything" {
		return nil
	}
	err := d.attempt(ctx, in, func() error {
		have, ok := d.r.byKey[d.key(in)]
		if !ok || have.Weight != in.Weight || !maps.Equal(have.Meta, in.Meta) {
			return discovery.ErrNotRegistered
		}
		return nil
	})
	if errors.Is(err, errAway) && d.fault == "an outage looks like a loss" {
		return discovery.ErrNotRegistered
	}
	return err
}

func (d driver) Deregister(ctx context.Context, in discovery.Instance) error {
	return d.attempt(ctx, in, func() error {
		if _, ok := d.r.byKey[d.key(in)]; !ok && d.fault == "deregistering twice is an error" {
			return errors.New("memory registry: no such instance")
		}
		if d.fault != "Deregister does nothing" {
			delete(d.r.byKey, d.key(in))
		}
		return nil
	})
}

func (d driver) Watch(ctx context.Context, q discovery.Query, deliver func(discovery.Update)) error {
	if err := discovery.ValidateService(q.Service); err != nil && d.fault != "names are not validated" {
		return err
	}
	if len(q.Params) > 0 && d.fault != "unknown parameters are ignored" {
		return fmt.Errorf("unknown parameters %q", slices.Collect(maps.Keys(q.Params)))
	}
	if d.fault == "a goroutine is left behind" {
		go func() { select {} }()
	}
	for {
		u, news, err := d.look(q.Service)
		switch {
		case err == nil:
			deliver(u)
		case d.fault == "an outage is an empty list":
			deliver(discovery.Update{})
		default:
			return err
		}
		if d.fault == "changes are not seen" {
			news = nil
		}
		select {
		case <-ctx.Done():
			if d.fault == "Watch returns nil" {
				return nil
			}
			if d.fault == "cancellation is ignored" {
				select {}
			}
			return ctx.Err()
		case <-news:
		}
	}
}

func (d driver) look(service string) (discovery.Update, <-chan struct{}, error) {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	if d.r.away {
		return discovery.Update{}, d.r.news, errAway
	}
	var u discovery.Update
	for _, in := range d.r.byKey {
		if in.Service == service {
			u.Instances = append(u.Instances, in)
		}
	}
	if n := d.r.garbage[service]; n > 0 {
		u.Invalid = append(u.Invalid, errors.New("memory registry: garbage"))
		if d.fault == "garbage spoils the list" {
			u.Instances = nil
		}
	}
	return u, d.r.news, nil
}
