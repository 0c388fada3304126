package internal

import (
	"sync"
	"time"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/target"
)

// targets is what the gateway's client knows of all its targets, looked at once
// for all backends.
type targets struct {
	look func() []keelson.TargetState

	mu    sync.Mutex
	at    time.Time
	known map[string][]target.InstanceSnapshot
}

// instances returns those of a target, as they were half a look ago at most.
func (t *targets) instances(name string) []target.InstanceSnapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.at) >= lookEvery/2 {
		t.known, t.at = map[string][]target.InstanceSnapshot{}, time.Now()
		for _, s := range t.look() {
			t.known[s.Target] = s.Instances
		}
	}
	return t.known[name]
}
