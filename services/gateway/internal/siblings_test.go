package internal_test

import (
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/keelsontest"
	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
	"github.com/keelson-dev/keelson/ratelimit"
)

func TestTheShareOfALimitFollowsTheRegistry(t *testing.T) {
	f, dir := newFake(t, echo), t.TempDir()
	registered := func(s *setup) {
		s.tcp = true
		s.config.Discovery.Driver, s.config.Discovery.File.Dir = "file", dir
		s.config.Limits.Rate, s.config.Limits.Burst = 1000, 6
		s.config.Limits.Redis.Address = "127.0.0.1:1" // nobody listens there
	}
	a := described1(t, f, registered)
	shows := func(left string) {
		t.Helper()
		keelsontest.Eventually(t, "an answer that says "+left, func() bool {
			var trailer metadata.MD
			_, err := a.call(soon(t), unaryMethod, "x", grpc.Trailer(&trailer))
			return err == nil && trailer.Get(ratelimit.LimitKey)[0] == left
		})
	}
	shows(`"client";r=5;t=1`)
	b := described1(t, f, registered)
	shows(`"client";r=2;t=1`)
	// They are not one more service of the platform.
	list, err := platformv1.NewPlatformServiceClient(a).ListServices(soon(t), &platformv1.ListServicesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range list.GetServices() {
		names = append(names, s.GetName())
	}
	if want := []string{"services/backend", "services/gateway"}; !slices.Equal(names, want) {
		t.Errorf("the platform is %q; want %q", names, want)
	}
	if err := b.drain(); err != nil {
		t.Error(err)
	}
	shows(`"client";r=5;t=1`)
}
