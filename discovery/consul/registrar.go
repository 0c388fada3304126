package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/keelson-dev/keelson/discovery"
)

// The pauses between two looks whether the catalog shows what the agent was told; it does within milliseconds.
const (
	firstLook = 5 * time.Millisecond
	lastLook  = 250 * time.Millisecond
)

// Register implements discovery.Registrar. It returns when the catalog shows the instance: an agent takes registrations also while it has
// no servers, and tells them later.
func (d *Driver) Register(ctx context.Context, in discovery.Instance) error {
	return d.call(ctx, opRegister, in, func(s *session, r record) error {
		err := s.api.Agent().ServiceRegisterOpts(d.registration(in, r), api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(ctx))
		if err != nil {
			return s.explain(err)
		}
		return d.shown(ctx, s, r)
	})
}

// shown waits until the catalog has the record. Where ACLs hide the catalog from the token, the agent's word must do.
func (d *Driver) shown(ctx context.Context, s *session, r record) error {
	var other error
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		opts := &api.QueryOptions{AllowStale: true, Filter: fmt.Sprintf("Service.ID == %q", r.id)}
		found, meta, err := s.api.Health().Service(r.service, "", false, opts.WithContext(ctx))
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("the agent took it, the catalog does not tell: %w", s.explain(err))
		}
		if err == nil {
			mine := slices.ContainsFunc(found, func(e *api.ServiceEntry) bool { return e.Service != nil && r.holds(e.Service) })
			if mine || len(found) == 0 && meta.ResultsFilteredByACLs {
				return nil
			}
			other = r.taken(found)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if other != nil {
				return other
			}
			return faultf(kindStale, "the agent took it, the catalog does not show it yet; have the servers a leader? %w", ctx.Err())
		}
	}
}

// taken is the error for a record that another process has written meanwhile; nil when none has.
func (r record) taken(found []*api.ServiceEntry) error {
	for _, e := range found {
		if e.Service != nil && !r.written(e.Service) {
			return r.conflict(e.Service)
		}
	}
	return nil
}

// conflict tells whose record stands where this one belongs.
func (r record) conflict(s *api.AgentService) error {
	return faultf(kindMissing, "service %s was registered by another process (PID %s, at %s); if that one still runs, give each an ID of its own in instance_id: %w",
		r.id, cmp.Or(s.Meta[metaPID], "unknown"), net.JoinHostPort(s.Address, strconv.Itoa(s.Port)), discovery.ErrNotRegistered)
}

// Check implements discovery.Registrar. It blocks while the agent has the instance, and notices at once when it has not; when the agent
// stops to answer, it returns an error by the end of ctx.
func (d *Driver) Check(ctx context.Context, in discovery.Instance) error {
	return d.call(ctx, opCheck, in, func(s *session, r record) error {
		hash := ""
		for {
			have, meta, err := s.api.Agent().Service(r.id, s.untilNearly(ctx, hash))
			switch {
			case err != nil && hash != "" && errors.Is(ctx.Err(), context.Canceled):
				return nil // it was there, and nobody wants to know more
			case err != nil:
				return notRegistered(s.explain(err))
			case have != nil && !r.holds(have) && !r.written(have):
				return r.conflict(have)
			case have == nil || !r.holds(have):
				return faultf(kindMissing, "service %s has other content: %w", r.id, discovery.ErrNotRegistered)
			case hash != "" || meta.LastContentHash == "":
				return nil
			}
			hash = meta.LastContentHash
		}
	})
}

// untilNearly asks for an answer some time before ctx ends, so that a silent agent can be told from one that has nothing to say.
func (s *session) untilNearly(ctx context.Context, hash string) *api.QueryOptions {
	opts := &api.QueryOptions{WaitHash: hash, WaitTime: s.cfg.Wait}
	if until, ok := ctx.Deadline(); ok {
		opts.WaitTime = min(opts.WaitTime, max(time.Until(until)*3/4, time.Millisecond))
	}
	return opts.WithContext(ctx)
}

// notRegistered adds what a missing service means.
func notRegistered(err error) error {
	if refused(err) {
		return &fault{kind: kindMissing, err: fmt.Errorf("%w: %w", err, discovery.ErrNotRegistered)}
	}
	return err
}

// Deregister implements discovery.Registrar. What another process registered under the same ID stays; one that comes between the look and
// the removal notices its loss at once and is back.
func (d *Driver) Deregister(ctx context.Context, in discovery.Instance) error {
	return d.call(ctx, opDeregister, in, func(s *session, r record) error {
		have, _, err := s.api.Agent().Service(r.id, (&api.QueryOptions{}).WithContext(ctx))
		if err == nil && have != nil && r.written(have) {
			err = s.api.Agent().ServiceDeregisterOpts(r.id, (&api.QueryOptions{}).WithContext(ctx))
		}
		if err == nil {
			return nil
		}
		if err = s.explain(err); refused(err) {
			return nil
		}
		return err
	})
}

// call is what the attempts have in common.
func (d *Driver) call(ctx context.Context, op string, in discovery.Instance, attempt func(*session, record) error) error {
	err := ctx.Err()
	if err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	r, err := d.newRecord(in)
	if err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	s, err := d.open()
	if err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	defer s.close()
	start := time.Now()
	err = attempt(s, r)
	d.met.observe(op, start, err)
	if err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	return nil
}

// newRequest makes a GET request on the agent's API.
func (s *session) newRequest(ctx context.Context, path, query string) (*http.Request, error) {
	url := s.scheme() + "://" + s.at.host + s.prefix() + path + "?" + query
	return http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
}
