package balancer

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/target"
)

// Of a method some of whose calls take a hundred times as long, each instance has more of them now and then than its siblings.
func TestCallsThatTakeLongBySomeChanceThinNobody(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in each run
	var list []*instance
	for k := range 3 {
		i := newInstance(&lb{}, uint64(k+1), "", target.Instance{})
		i.ready.Store(1)
		list = append(list, i)
	}
	m := &method{unary: true}
	for now := time.Duration(0); now < 10*time.Minute; now += judgeEvery {
		for _, i := range list {
			for range 10 {
				took := time.Duration((0.5 + chance.ExpFloat64()) * float64(time.Millisecond))
				if chance.Float64() < 0.05 {
					took = 100 * time.Millisecond
				}
				x := toLog(took)
				i.score.observe(m.observe(x), x)
			}
		}
		compare(list, now)
		for _, i := range list {
			if i.factors.fit < 1 {
				t.Fatalf("after %s instance %d has %.2f of its share", now, i.id, i.factors.fit)
			}
		}
	}
}
