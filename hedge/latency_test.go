package hedge_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// answers makes calls that take so long, and are not hedged.
func (c *client) answers(took ...time.Duration) {
	for _, d := range took {
		wait := func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
			pause(d)
			return nil
		}
		record := &call.Call{Context: context.Background(), Method: c.table.Lookup(get)}
		_ = c.method(get).Invoke(record, get, nil, &wrapperspb.StringValue{}, nil, wait)
	}
}

func draw(n int, sample func(*rand.Rand) float64) []time.Duration {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = time.Duration(sample(r) * float64(ms))
	}
	return out
}

func TestTheDelayIsTheNinetyFifthPercentile(t *testing.T) {
	for name, sample := range map[string]func(*rand.Rand) float64{
		"always the same": func(*rand.Rand) float64 { return 42 },
		"uniform":         func(r *rand.Rand) float64 { return 10 + 90*r.Float64() },
		"exponential":     func(r *rand.Rand) float64 { return 30 * r.ExpFloat64() },
		"log-normal":      func(r *rand.Rand) float64 { return 20 * math.Exp(r.NormFloat64()) },
		"one in ten slow": func(r *rand.Rand) float64 { return 10 + 300*math.Floor(r.Float64()*10/9) },
		"slow":            func(r *rand.Rand) float64 { return 20_000 + 10_000*r.Float64() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, policy.Override{Method: get, HedgeDelay: -1, Timeout: time.Hour})
				all := draw(2048, sample)
				slices.Sort(all)
				exact := all[len(all)*95/100]
				rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				for i := range all { // one each, at once, so that all are of one window
					go c.answers(all[i])
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if got := c.method(get).Delay(); got < exact*95/100 || got > exact*5/4 {
					t.Errorf("%s, and the percentile is %s", got, exact)
				}
			})
		})
	}
}

func TestTheDelayFollowsTheMethod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		c.answers(slices.Repeat([]time.Duration{10 * ms}, 3000)...)
		c.answers(slices.Repeat([]time.Duration{50 * ms}, 500)...) // 25 s
		if got := c.method(get).Delay(); got < 50*ms || got > 63*ms {
			t.Errorf("%s after it became slower", got)
		}
		c.answers(slices.Repeat([]time.Duration{10 * ms}, 3000)...)
		if got := c.method(get).Delay(); got < 10*ms || got > 13*ms {
			t.Errorf("%s after it became quicker", got)
		}
		time.Sleep(time.Hour)
		if got := c.method(get).Delay(); got > 13*ms {
			t.Errorf("%s after an hour without calls", got)
		}
	})
}
