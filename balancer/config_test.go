package balancer_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keelson-dev/keelson/balancer"
)

func TestConfigAsJSON(t *testing.T) {
	for want, c := range map[string]balancer.Config{
		`{"keelson":{}}`: {},
		`{"keelson":{"policy":"round_robin","zone":"a"}}`:                    {Policy: balancer.RoundRobin, Zone: "a"},
		`{"keelson":{"choices":3,"panicThreshold":0.7,"healthService":"x"}}`: {Choices: 3, PanicThreshold: 0.7, HealthService: "x"},
		`{"keelson":{"policy":"ring_hash","hashHeader":"user"}}`:             {Policy: balancer.RingHash, HashHeader: "user"},
		`{"keelson":{"policy":"weighted_round_robin"}}`:                      {Policy: balancer.WeightedRoundRobin},
		`{"keelson":{"policy":"pick_first"}}`:                                {Policy: balancer.PickFirst},
	} {
		got, err := c.JSON()
		if err != nil || string(got) != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
		conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[`+string(got)+`]}`))
		if err != nil {
			t.Errorf("gRPC does not take %s: %v", got, err)
			continue
		}
		_ = conn.Close()
	}
}

func TestConfigThatIsNotValid(t *testing.T) {
	_, err := balancer.Config{Policy: "random", Choices: 11, HashHeader: "User Name", PanicThreshold: 2}.JSON()
	for _, want := range []string{`policy: "random" is not known; use one of least_request, `, "choices: 11", `hashHeader: "User Name"`, "panicThreshold: 2"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	for _, bad := range []string{`{"policy":"x"}`, `{"choices":"x"}`} {
		_, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"keelson":`+bad+`}]}`))
		if err == nil {
			t.Errorf("gRPC takes %s", bad)
		}
	}
}
