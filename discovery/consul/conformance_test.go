package consul_test

import (
	"net/http"
	"testing"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/consul"
	"github.com/keelson-dev/keelson/discovery/discoverytest"
)

func TestDriverKeepsTheContract(t *testing.T) {
	emptyAgent(t) // before the suite counts goroutines
	ops, _ := healthy(t)
	discoverytest.Run(t, func(t *testing.T) discoverytest.Harness {
		a := emptyAgent(t)
		return discoverytest.Harness{
			Driver: func() discovery.Driver { return newDriver(t, consul.Config{Address: a.Address(), Check: checked(ops)}) },
			Stop:   func() { must(t, a.Kill()) },
			Start:  func() { must(t, a.Restart(t.Context())) },
			Wipe:   func() { must(t, a.Wipe(t.Context())) },
			Corrupt: func(service string) {
				must(t, a.Do(t.Context(), http.MethodPut, "/v1/agent/service/register", `{"ID": "garbage", "Name": "`+service+`", "Port": 0}`, nil))
			},
		}
	})
}
