package discovery_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/target"
)

// fleet is n instances; those of every third are in zone west, the others in east.
func fleet(n int) discovery.Update {
	var u discovery.Update
	for i := range n {
		zone := "east"
		if i%3 == 0 {
			zone = "west"
		}
		u.Instances = append(u.Instances, discovery.Instance{
			Service: "user", ID: fmt.Sprintf("user-%03d", i), Address: fmt.Sprintf("10.1.%d.%d:1", i/200, i%200+1), Zone: zone,
		})
	}
	return u
}

// parts gives every client what it has of each of the updates.
func parts(t *testing.T, clients int, cfg discovery.Subset, updates ...discovery.Update) [][]map[string]string {
	t.Helper()
	out := make([][]map[string]string, clients)
	synctest.Test(t, func(t *testing.T) {
		for c := range clients {
			cfg.Seed = fmt.Sprintf("client-%d", c)
			driver := newScripted()
			conn, res := build(t, discovery.NewResolver(driver, discovery.Config{Subset: cfg, UpdateInterval: -1}), dialled)
			for _, u := range updates {
				driver.updates <- u
				synctest.Wait()
				out[c] = append(out[c], zones(conn.states[len(conn.states)-1]))
			}
			res.Close()
		}
	})
	return out
}

// zones are the zones of a list's instances by ID.
func zones(s resolver.State) map[string]string {
	out := make(map[string]string)
	for _, ep := range s.Endpoints {
		in, _ := target.FromEndpoint(ep)
		out[in.ID] = in.Zone
	}
	return out
}

func TestClientsOfALargeFleetSpreadEvenly(t *testing.T) {
	const clients, instances, size = 400, 100, 20
	count := make(map[string]int)
	for _, p := range parts(t, clients, discovery.Subset{Above: 50, Size: size}, fleet(instances)) {
		if len(p[0]) != size {
			t.Fatalf("a client has %d instances, want %d", len(p[0]), size)
		}
		for id := range p[0] {
			count[id]++
		}
	}
	// A fair choice has a standard deviation of 8 around 80; the choice is the same in each run.
	for id, n := range count {
		if n < 80-4*8 || n > 80+4*8 {
			t.Errorf("%s has %d clients, want about %d", id, n, clients*size/instances)
		}
	}
	if len(count) != instances {
		t.Errorf("%d of %d instances have clients", len(count), instances)
	}
}

func TestAnInstanceThatComesOrGoesMovesFewClients(t *testing.T) {
	const clients, size = 200, 20
	all := fleet(101)
	less := discovery.Update{Instances: all.Instances[:100]}
	moved := 0
	for _, p := range parts(t, clients, discovery.Subset{Above: 50, Size: size}, less, all, less) {
		for i := range 2 {
			changed := 0
			for id := range p[i+1] {
				if _, had := p[i][id]; !had {
					changed++
				}
			}
			if changed > 1 {
				t.Errorf("one instance changed %d of a client's %d", changed, size)
			}
			moved += changed
		}
	}
	// The new instance belongs to 20 of 101 parts, when it comes and when it goes.
	if want := 2 * clients * size / 101; moved < want/2 || moved > want*3/2 {
		t.Errorf("%d connections moved, want about %d", moved, want)
	}
}

func TestTheOwnZoneComesFirstAndNotAlone(t *testing.T) {
	for _, tt := range []struct {
		instances, size  int
		zone             string
		wantNear, wantIn int
	}{
		{120, 20, "west", 15, 20}, // of 40 in west
		{120, 60, "west", 40, 60}, // west has no more
		{120, 20, "east", 15, 20},
		{120, 20, "north", 0, 20}, // nobody is there
		{120, 1, "west", 1, 1},
	} {
		for _, p := range parts(t, 5, discovery.Subset{Above: 50, Size: tt.size, Zone: tt.zone}, fleet(tt.instances)) {
			near := strings.Count(fmt.Sprint(p[0]), tt.zone)
			if near != tt.wantNear || len(p[0]) != tt.wantIn {
				t.Errorf("%d of %d in zone %s, want %d of %d", near, len(p[0]), tt.zone, tt.wantNear, tt.wantIn)
			}
		}
	}
}

func TestAFleetOfAboutTheLimitDoesNotGoBackAndForth(t *testing.T) {
	sizes := []int{}
	for _, u := range parts(t, 1, discovery.Subset{Above: 50, Size: 20}, fleet(50), fleet(51), fleet(50), fleet(46), fleet(45))[0] {
		sizes = append(sizes, len(u))
	}
	if got := fmt.Sprint(sizes); got != "[50 20 20 20 45]" {
		t.Errorf("instances in effect: %s", got)
	}
}
