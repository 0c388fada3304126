package internal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// lookEvery is how often the gateway looks whether the instances of a backend
	// changed.
	lookEvery = 250 * time.Millisecond
	// firstRetry and lastRetry are how long it waits before it asks again a backend
	// that did not answer.
	firstRetry, lastRetry = 100 * time.Millisecond, 3 * time.Second
	// settle is after how long a change is looked at a second time: the first
	// answer may have been given by an instance that leaves.
	settle = 2 * time.Second
	// doubts is how many answers in a row must miss a method before it is taken
	// away: in a rollout, old instances answer as well as new ones.
	doubts = 3
	// linkTimeout is how long a new link may take to be ready before calls go by
	// it.
	linkTimeout = 5 * time.Second
)

// host is what a backend needs of the chassis service.
type host interface {
	Expose(service string, desc protoreflect.ServiceDescriptor, h grpc.StreamHandler) error
}

// backend is one target, and what is known of the allowed services on it. Its
// loop has it to itself.
type backend struct {
	*forwarder
	host
	log      *slog.Logger
	metrics  *instruments
	dial     func() (*grpc.ClientConn, error)
	targets  *targets
	cfg      ReflectionConfig
	services []string // all that it may expose
	asked    []string // those that no file describes

	asker   asker
	known   map[string]description
	missing map[string]int // how many answers in a row missed a method
	told    string         // what was logged last of what is wrong
}

// expose puts into effect what is known of services. It returns whether anything
// changed.
func (b *backend) expose(found map[string]description) (changed bool) {
	for name, d := range found {
		now, known := b.known[name]
		if known && now.digest == d.digest {
			b.missing[name] = 0
			continue
		}
		if method := d.lacks(now); method != "" {
			if b.missing[name]++; b.missing[name] < doubts {
				continue
			}
		}
		b.missing[name] = 0
		if err := b.Expose(name, d.ServiceDescriptor, b.serve); err != nil {
			b.complain(fmt.Errorf("expose %s: %w", name, err))
			continue
		}
		b.known[name] = d
		changed = true
		b.metrics.known.WithLabelValues(name).Set(1)
		b.log.Info("the methods of a service are known", "service", name, "target", b.target, "methods", d.Methods().Len())
	}
	return changed
}

// start exposes the services, those that no file describes without their methods.
func (b *backend) start(fromFiles map[string]description) error {
	for _, name := range b.services {
		if d, ok := fromFiles[name]; ok {
			b.expose(map[string]description{name: d})
			if _, ok := b.known[name]; !ok {
				return fmt.Errorf("expose %s as its file describes it: %s", name, b.told)
			}
			continue
		}
		b.asked = append(b.asked, name)
		b.metrics.known.WithLabelValues(name).Set(0)
		if err := b.Expose(name, nil, b.serve); err != nil {
			return fmt.Errorf("services: %w", err)
		}
	}
	return b.link()
}

// first asks the backend before the gateway serves, until it has answered or the
// context ends.
func (b *backend) first(ctx context.Context) {
	for len(b.asked) > 0 && ctx.Err() == nil {
		l := b.use()
		err := l.ready(ctx, askTimeout)
		l.release()
		if err == nil && b.renew(ctx) >= 0 {
			return
		}
		wait := time.NewTimer(firstRetry)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
		}
	}
}

// link dials the target anew, since gRPC takes its retries from what is known when
// it is dialled.
func (b *backend) link() error {
	conn, err := b.dial()
	if err != nil {
		return fmt.Errorf("dial %s: %w", b.target, err)
	}
	b.replace(newLink(b.target, conn))
	return nil
}

// relink does so while calls are made: they go by the new link once it is ready.
func (b *backend) relink(ctx context.Context) error {
	conn, err := b.dial()
	if err != nil {
		return fmt.Errorf("dial %s: %w", b.target, err)
	}
	l := newLink(b.target, conn)
	err = l.ready(ctx, linkTimeout)
	if ctx.Err() != nil {
		l.release()
		return err
	}
	b.replace(l) // even if nothing is ready: then the old one is no better
	return nil
}

// run keeps the link connected and what is known up to date, until the context
// ends.
func (b *backend) run(ctx context.Context) {
	var due time.Time
	again, retry, instances := false, firstRetry, ""
	for ctx.Err() == nil {
		b.keepConnected()
		if now := b.instances(); now != instances {
			instances, due, again, retry = now, time.Now(), true, firstRetry
		}
		if len(b.asked) > 0 && instances != "" && !time.Now().Before(due) {
			wait := b.renew(ctx)
			switch {
			case wait < 0:
				wait, retry = jitter(retry), min(2*retry, lastRetry)
			case wait == 0 && again:
				wait, again, retry = settle, false, firstRetry
			case wait == 0:
				wait, retry = jitter(b.cfg.Refresh), firstRetry
			}
			due = time.Now().Add(wait)
		}
		if b.pause(ctx) {
			instances = "" // what was restarted at once looks the same, and may not be
		}
	}
}

// pause waits until it is time to look again, and tells whether the link was lost or
// found meanwhile.
func (b *backend) pause(ctx context.Context) bool {
	l := b.use()
	defer l.release()
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	return l.WaitForStateChange(ctx, l.GetState())
}

// renew asks the backend, and returns after how long to ask again: negative when
// it did not answer, and zero when nothing is in doubt.
func (b *backend) renew(ctx context.Context) time.Duration {
	l := b.use()
	found, err := b.asker.ask(ctx, l, b.asked, int(b.cfg.MaxSize))
	l.release()
	if ctx.Err() != nil {
		return 0
	}
	for _, name := range b.asked {
		if _, ok := found[name]; !ok && err == nil {
			err = fmt.Errorf("the backend does not serve %s", name)
		}
	}
	if err != nil {
		b.metrics.asked.WithLabelValues(b.target, "failed").Inc()
		b.complain(err)
	} else {
		b.metrics.asked.WithLabelValues(b.target, "ok").Inc()
	}
	if b.expose(found) {
		if err := b.relink(ctx); err != nil {
			b.complain(err)
		}
	}
	switch {
	case errors.Is(err, errNoReflection):
		return jitter(b.cfg.Refresh)
	case err != nil:
		return -1
	case slices.ContainsFunc(b.asked, func(name string) bool { return b.missing[name] > 0 }):
		return settle / 2
	}
	b.told = ""
	return 0
}

// keepConnected connects a link that rests, so that calls do not wait for it and
// readiness is known.
func (b *backend) keepConnected() {
	l := b.use()
	defer l.release()
	if l.GetState() == connectivity.Idle {
		l.Connect()
	}
}

// instances tells apart the lists of the backend's instances, and what they run,
// among those that are ready; "" for none.
func (b *backend) instances() string {
	l := b.use()
	defer l.release()
	var list []string
	for _, i := range b.targets.instances(l.Target()) {
		if i.Connection == connectivity.Ready.String() {
			list = append(list, strings.Join([]string{i.ID, i.Address, i.Version}, " "))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// check tells whether calls can be made: also by a link that rests until there is
// one.
func (b *backend) check(ctx context.Context) error {
	l := b.use()
	defer l.release()
	if l.GetState() == connectivity.Idle && l.staysIdle(ctx) {
		return nil
	}
	if state := l.GetState(); state != connectivity.Ready {
		return fmt.Errorf("no instance of %s is ready (connection: %s); calls of %s are answered UNAVAILABLE", b.target, state, strings.Join(b.services, ", "))
	}
	return nil
}

// complain logs what is wrong, once for as long as it is the same.
func (b *backend) complain(err error) {
	if text := err.Error(); text != b.told {
		b.told = text
		b.log.Warn("the methods of a backend cannot be renewed; what is known stays, and native gRPC is forwarded in any case", "target", b.target, "error", err)
	}
}

// jitter spreads what several gateways do at the same pace, by a tenth.
func jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/10+1)) //nolint:gosec // no secret
}
