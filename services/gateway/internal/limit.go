package internal

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/ratelimit"
	"github.com/keelson-dev/keelson/ratelimit/redis"
)

// limitName is what the limit is called where clients are told of it.
const limitName = "client"

// limiter bounds how many calls each client makes, over all methods. Health and
// reflection do not pass by it. It is safe for concurrent use.
type limiter struct {
	clients
	metrics *instruments
	take    func(ctx context.Context, key string, q ratelimit.Quota) ratelimit.Taken
}

// admit asks whether a client may make one more call. The metadata tells it what is
// left, also when it may not; nil where it has no limit.
func (l *limiter) admit(ctx context.Context) (metadata.MD, error) {
	record := call.From(ctx)
	if record == nil {
		return nil, nil
	}
	c := l.of(record)
	if c.quota.Rate <= 0 {
		return nil, nil
	}
	taken := l.take(ctx, c.bucket(), c.quota)
	told := ratelimit.Tell(limitName, c.quota, taken)
	if taken.OK {
		return told, nil
	}
	l.metrics.limited.WithLabelValues(c.by).Inc()
	for key, value := range ratelimit.Pushback() {
		told[key] = value
	}
	return told, tooMany(c, taken)
}

func tooMany(c client, taken ratelimit.Taken) error {
	q := c.quota.Normal()
	quota := fmt.Sprintf("%s calls per second, %d at once", strconv.FormatFloat(q.Rate, 'g', 6, 64), q.Burst)
	return own(errs.ResourceExhausted(errs.ReasonRateLimited, "the gateway admits %s, for each client; wait %s", quota, taken.Wait.Round(time.Millisecond)).
		With(errs.Meta("limit", "client"), errs.Quota(c.bucket(), quota), errs.RetryAfter(taken.Wait)))
}

func (l *limiter) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	told, err := l.admit(ctx)
	if told != nil {
		_ = grpc.SetTrailer(ctx, told) // fails outside a call only
	}
	if err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

func (l *limiter) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	told, err := l.admit(ss.Context())
	if told == nil {
		return handle(srv, ss)
	}
	if kind, _ := kindOf(ss.Context()); err != nil || kind == policy.Unary {
		ss.SetTrailer(told)
		if err != nil {
			return err
		}
		return handle(srv, ss)
	}
	s := &toldStream{ServerStream: ss, told: told}
	defer s.end()
	return handle(srv, s)
}

// options make the chassis ask the limiter, unless nobody is limited.
func (l *limiter) options() []keelson.Option {
	if !l.limited() {
		return nil
	}
	return []keelson.Option{keelson.WithUnaryInterceptors(l.unary), keelson.WithStreamInterceptors(l.stream)}
}

// prepare chooses where calls are counted: in this instance, or in Redis.
func (g *Gateway) prepareLimits(service *keelson.Service) error {
	if !g.limiter.limited() {
		return nil
	}
	c := g.cfg.Limits
	if c.Redis.Address == "" {
		local, err := ratelimit.NewKeyed(c.MaxClients)
		if err != nil {
			return fmt.Errorf("limits.max_clients: %w", err)
		}
		g.limiter.take = func(_ context.Context, key string, q ratelimit.Quota) ratelimit.Taken {
			return local.Take(key, q, time.Now())
		}
		return nil
	}
	instances, err := g.countInstances(service)
	if err != nil {
		return err
	}
	cfg := redis.Config{
		Address: c.Redis.Address, Username: c.Redis.Username, Password: c.Redis.Password.Reveal(), DB: c.Redis.DB,
		Timeout: c.Redis.Timeout, Prefix: "keelson:" + service.Name(), MaxKeys: c.MaxClients,
	}
	if c.Redis.TLS {
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	shared, err := redis.New(cfg, redis.WithLogger(service.Logger()), redis.WithRegisterer(service.Registerer()), redis.WithInstances(instances))
	if err != nil {
		return fmt.Errorf("limits.redis: %w", err)
	}
	g.limiter.take = shared.Take
	service.Go("redis", shared.Run)
	service.OnStop("redis", func(context.Context) error { return shared.Close() })
	service.Dependency("redis", shared.Check)
	return nil
}

// countInstances returns what tells how many instances the gateway has: as
// configured, or as the registry shows.
func (g *Gateway) countInstances(service *keelson.Service) (func() int, error) {
	if n := g.cfg.Limits.Redis.Instances; n > 0 || g.cfg.Discovery.Driver == "" || g.cfg.Discovery.Driver == "none" {
		return func() int { return max(n, 1) }, nil
	}
	siblings, err := service.Dial(service.Name())
	if err != nil {
		return nil, fmt.Errorf("count the instances of the gateway: %w", errors.Join(err, errors.New("or set limits.redis.instances")))
	}
	g.siblings = siblings.Target()
	counted := newCounted(func() int {
		for _, t := range service.Targets() {
			if t.Target == g.siblings {
				return len(t.Instances)
			}
		}
		return 1
	})
	service.Go("siblings", func(ctx context.Context) error {
		siblings.Connect()
		counted.run(ctx)
		return nil
	})
	return counted.get, nil
}
