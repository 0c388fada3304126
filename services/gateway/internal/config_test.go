package internal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/gateway/internal"
)

func TestTheConfigurationIsChecked(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*internal.Config)
		want   string // empty: it is valid
	}{
		"the default":           {func(*internal.Config) {}, ""},
		"gRPC off loopback":     {func(c *internal.Config) { c.GRPC.Address = "0.0.0.0:9090" }, "grpc.address"},
		"a name":                {func(c *internal.Config) { c.GRPC.Address = "gateway.example.com:9090" }, "grpc.address"},
		"all addresses":         {func(c *internal.Config) { c.GRPC.Address = ":9090" }, "grpc.address"},
		"gRPC public":           {func(c *internal.Config) { c.GRPC.Address, c.Public = "0.0.0.0:9090", true }, ""},
		"the edge off loopback": {func(c *internal.Config) { c.Edge.Address = "[::]:8080" }, "edge.address"},
		"the edge public":       {func(c *internal.Config) { c.Edge.Address, c.Edge.Public = "[::]:8080", true }, ""},
		"no edge":               {func(c *internal.Config) { c.Edge.Address = "off" }, ""},
		"a service twice": {func(c *internal.Config) {
			c.Services = append(c.Services, internal.ServiceConfig{Service: "user.v1.UserService", Target: "other"})
		}, "services[2].service"},
		"a bad name":            {func(c *internal.Config) { c.Services[0].Service = "/user.v1.UserService" }, "services[0].service"},
		"health":                {func(c *internal.Config) { c.Services[1].Service = "grpc.health.v1.Health" }, "services[1].service"},
		"reflection":            {func(c *internal.Config) { c.Services[1].Service = "grpc.reflection.v1.ServerReflection" }, "services[1].service"},
		"the platform service":  {func(c *internal.Config) { c.Services[1].Service = "keelson.platform.v1.PlatformService" }, "services[1].service"},
		"another of gRPC's":     {func(c *internal.Config) { c.Services[1].Service = "grpc.channelz.v1.Channelz" }, ""},
		"no target":             {func(c *internal.Config) { c.Services[1].Target = "" }, "services[1].target"},
		"a burst without rate":  {func(c *internal.Config) { c.Limits.Burst = 5 }, "limits.burst"},
		"a key without name":    {func(c *internal.Config) { c.Limits.Keys = []internal.KeyConfig{keyOf("", "k", 1)} }, "limits.keys[0].name"},
		"a key that is no hash": {func(c *internal.Config) { c.Limits.Keys = []internal.KeyConfig{{Name: "a", SHA256: "the key"}} }, "limits.keys[0].sha256"},
		"a key twice": {func(c *internal.Config) {
			c.Limits.Keys = []internal.KeyConfig{keyOf("a", "k", 1), keyOf("b", "k", 1)}
		}, "limits.keys[1].sha256"},
		"a key twice, written otherwise": {func(c *internal.Config) {
			again := keyOf("b", "k", 1)
			again.SHA256 = strings.ToUpper(again.SHA256)
			c.Limits.Keys = []internal.KeyConfig{keyOf("a", "k", 1), again}
		}, "limits.keys[1].sha256"},
		"Redis":                {func(c *internal.Config) { c.Limits.Rate, c.Limits.Redis.Address = 1, "redis.example.com:6379" }, ""},
		"Redis without a port": {func(c *internal.Config) { c.Limits.Rate, c.Limits.Redis.Address = 1, "127.0.0.1" }, "limits.redis.address"},
		"Redis without a host": {func(c *internal.Config) { c.Limits.Rate, c.Limits.Redis.Address = 1, ":6379" }, "limits.redis.address"},
		"Redis as a URL":       {func(c *internal.Config) { c.Limits.Rate, c.Limits.Redis.Address = 1, "redis://127.0.0.1:6379" }, "limits.redis.address"},
		"Redis for nothing":    {func(c *internal.Config) { c.Limits.Redis.Address = "127.0.0.1:6379" }, "limits.redis.address"},
		"Redis for clients with keys only": {func(c *internal.Config) {
			c.Limits.Keys, c.Limits.Redis.Address = []internal.KeyConfig{keyOf("a", "k", 1)}, "127.0.0.1:6379"
		}, ""},
		"watches as old as connections may become": {func(c *internal.Config) { c.Platform.MaxAge = c.GRPC.ConnectionGrace }, "platform.max_age"},
		"watches of the default age, and less grace": {func(c *internal.Config) {
			c.Platform.MaxAge, c.GRPC.ConnectionGrace = 0, 10*time.Minute
		}, "platform.max_age"},
		"watches that end before": {func(c *internal.Config) {
			c.Platform.MaxAge, c.GRPC.ConnectionGrace = time.Minute, 2*time.Minute
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := internal.DefaultConfig()
			tc.change(&cfg)
			switch err := cfg.Validate(); {
			case tc.want == "" && err != nil:
				t.Errorf("it is refused: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error is %v; want %s in it", err, tc.want)
			}
		})
	}
}
