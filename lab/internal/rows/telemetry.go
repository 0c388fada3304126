package rows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"

	"github.com/keelson-dev/keelson/lab/internal/check"
	"github.com/keelson-dev/keelson/lab/internal/history"
	"github.com/keelson-dev/keelson/lab/internal/load"
	"github.com/keelson-dev/keelson/lab/internal/platform"
	"github.com/keelson-dev/keelson/lab/internal/stat"
)

// telemetryRows are the faults of what takes logs and spans. Each compares an
// instance whose consumer is sick with one whose consumer is well, in
// interleaved rounds.
func telemetryRows() []Row {
	const promise = ": CPU per call at most 1.05 times, p99 at most 1.25 times (medians of interleaved rounds); memory bounded"
	short := Params{Times: 2, Fault: 2 * time.Second}
	full := Params{Times: 10, Fault: 10 * time.Second, Rate: 500}
	return []Row{
		{Name: "otlp-away", Promise: "OTLP collector away" + promise, Short: short, Full: full, Run: sickTelemetry(away)},
		{Name: "otlp-slow", Promise: "OTLP collector that accepts and never answers" + promise, Short: short, Full: full, Run: sickTelemetry(silent)},
		{Name: "log-blocked", Promise: "log consumer that does not read" + promise, Short: short, Full: full, Run: sickTelemetry(blocked)},
	}
}

// setup makes the settings of the sick instance, given those of the well one;
// unread tells that nobody reads its log.
type setup func(e *Env) (endpoint string, unread bool, closing func(), err error)

// away is a collector that refuses connections.
func away(e *Env) (string, bool, func(), error) {
	address, err := e.Unused()
	return address, false, func() {}, err
}

// silent is a collector that accepts connections and says nothing.
func silent(*Env) (string, bool, func(), error) {
	s, err := platform.NewSilent()
	if err != nil {
		return "", false, nil, err
	}
	return s.Address, false, s.Close, nil
}

// blocked is a log that nobody reads.
func blocked(*Env) (string, bool, func(), error) { return "", true, func() {}, nil }

const (
	mostCPU    = 1.05
	mostP99    = 1.25
	mostMemory = 32 << 20
)

// side is one of the two instances.
type side struct {
	name     string
	instance *platform.Instance
	users    userv1.UserServiceClient
	conn     *grpc.ClientConn
	cpu, p99 []float64 // per round: CPU per call in µs, latency in ms
	failed   int
	calls    int
}

// sickTelemetry runs the two instances on the same store, loads them in turn,
// and compares.
func sickTelemetry(sick setup) func(context.Context, *Env) ([]check.Verdict, error) {
	return func(ctx context.Context, e *Env) ([]check.Verdict, error) {
		collector, err := platform.NewCollector()
		if err != nil {
			return nil, err
		}
		defer collector.Close()
		endpoint, unread, closing, err := sick(e)
		if err != nil {
			return nil, err
		}
		defer closing()
		if endpoint == "" {
			endpoint = collector.Address
		}
		well, err := newSide(ctx, e, "well", collector.Address, false)
		if err != nil {
			return nil, err
		}
		defer well.close()
		ill, err := newSide(ctx, e, "sick", endpoint, unread)
		if err != nil {
			return nil, err
		}
		defer ill.close()
		for n := range e.Params.Times + 1 { // the first round warms up
			sides := []*side{well, ill}
			if n%2 == 1 {
				sides[0], sides[1] = sides[1], sides[0]
			}
			for _, s := range sides {
				if err := s.round(ctx, e, n > 0); err != nil {
					return nil, err
				}
			}
		}
		return compare(e, well, ill)
	}
}

func newSide(ctx context.Context, e *Env, name, endpoint string, unread bool) (*side, error) {
	i, err := e.Lone("user", "KEELSON_STORE__DRIVER=postgres", "KEELSON_STORE__POSTGRES__DSN="+e.Postgres.DSN(platform.Database, e.Postgres.Port),
		"KEELSON_LOG__LEVEL=info", "KEELSON_TRACE__RATIO=1", "KEELSON_TRACE__ENDPOINT="+endpoint)
	if err != nil {
		return nil, err
	}
	if err := i.PipeLog(unread); err != nil {
		return nil, err
	}
	if err := i.Start(ctx); err != nil {
		return nil, err
	}
	// Plain gRPC: the client's half is not what is compared.
	conn, err := grpc.NewClient("passthrough:///"+i.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, errors.Join(err, i.Stop())
	}
	return &side{name: name, instance: i, conn: conn, users: userv1.NewUserServiceClient(conn)}, nil
}

func (s *side) close() {
	_ = s.conn.Close()
	s.instance.Kill()
}

// round loads one instance for a while.
func (s *side) round(ctx context.Context, e *Env, counts bool) error {
	h := history.New()
	g := load.New(load.Config{Rate: e.Rate, Seed: e.Seed, Prefix: fmt.Sprintf("t-%s-%d", s.name, time.Now().UnixNano()), Mix: load.Mix{Get: 90, List: 1, Batch: 4}}, s.users, nil, h)
	before, err := s.instance.Process().CPU()
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, e.Params.Fault)
	defer cancel()
	g.Run(bounded)
	after, err := s.instance.Process().CPU()
	if err != nil {
		return err
	}
	calls := h.Calls()
	n, failed := count(calls, every)
	s.calls += n
	s.failed += failed
	if !counts || n == 0 {
		return ctx.Err()
	}
	var latencies []time.Duration
	for _, c := range calls {
		latencies = append(latencies, c.Latency())
	}
	s.cpu = append(s.cpu, float64((after-before).Microseconds())/float64(n))
	s.p99 = append(s.p99, float64(stat.Percentiles(latencies).P99.Microseconds())/1000)
	return ctx.Err()
}

// compare judges the sick instance by the well one.
func compare(e *Env, well, ill *side) ([]check.Verdict, error) {
	wellMemory, err1 := well.instance.Process().Memory()
	illMemory, err2 := ill.instance.Process().Memory()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	cpu, cpuBase := stat.Median(ill.cpu), stat.Median(well.cpu)
	p99, p99Base := stat.Median(ill.p99), stat.Median(well.p99)
	all := []check.Verdict{
		verdict("no call fails", well.failed+ill.failed == 0 && ill.calls > 0, "%d of %d calls failed beside the well consumer, %d of %d beside the sick one", well.failed, well.calls, ill.failed, ill.calls),
		timed(verdict("CPU per call at most 1.05 times", cpu <= mostCPU*cpuBase, "%.1f µs and %.1f µs: %.3f times (medians of %d rounds)", cpu, cpuBase, cpu/cpuBase, len(ill.cpu))),
		timed(verdict("p99 at most 1.25 times", p99 <= mostP99*p99Base, "%.2f ms and %.2f ms: %.3f times", p99, p99Base, p99/p99Base)),
		verdict("memory bounded", illMemory <= wellMemory+mostMemory, "%d MiB and %d MiB", illMemory>>20, wellMemory>>20),
	}
	e.Fact(fmt.Sprintf("%d calls; CPU per call %.3f times, p99 %.3f times, memory %+d MiB", well.calls+ill.calls, cpu/cpuBase, p99/p99Base, (illMemory-wellMemory)>>20))
	return all, nil
}
