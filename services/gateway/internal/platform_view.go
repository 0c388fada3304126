package internal

import (
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
)

// platformView is what was seen at one moment. It is shared by all who ask, and
// never changed.
type platformView struct {
	at       time.Time
	services []*serviceView // ordered by name
	changed  chan struct{}  // closed when there is a newer one
}

// serviceView is one service at that moment.
type serviceView struct {
	*platformv1.Service
	platform *Platform
	of       *seenService
	revision uint64

	mu   sync.Mutex
	past map[uint64]recalled // by the step that the history begins with
}

// recalled is a service with history, up to a step.
type recalled struct {
	service *platformv1.Service
	to      uint64
}

// historyPoints bounds how long the histories of one message are together: 3 MiB.
const historyPoints = 3 << 20 / 18

// publish makes a new view of what is known, and wakes who waits for it. The
// caller holds the lock.
func (p *Platform) publish(now time.Time) {
	v := &platformView{at: now, changed: make(chan struct{})}
	for _, s := range p.services {
		v.services = append(v.services, &serviceView{Service: s.message(now), platform: p, of: s, revision: s.revision})
	}
	slices.SortFunc(v.services, func(a, b *serviceView) int { return strings.Compare(a.GetName(), b.GetName()) })
	old := p.view
	if p.view = v; old != nil {
		close(old.changed)
	}
}

// find returns a service by its name, or nil.
func (v *platformView) find(name string) *serviceView {
	for _, s := range v.services {
		if s.GetName() == name {
			return s
		}
	}
	return nil
}

// withHistory returns the service with its histories from a step on, and the
// step with which they go on. Watchers that are equally far share the message.
func (v *serviceView) withHistory(from uint64) (*platformv1.Service, uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r, ok := v.past[from]; ok {
		return r.service, r.to
	}
	m := proto.CloneOf(v.Service)
	to := v.platform.recall(v.of, m, from)
	if v.past == nil {
		v.past = make(map[uint64]recalled)
	}
	v.past[from] = recalled{m, to}
	return m, to
}

// recall adds the histories to a message.
func (p *Platform) recall(s *seenService, m *platformv1.Service, from uint64) (to uint64) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if s.series == nil {
		return p.step
	}
	most, end := min(seriesSteps, historyPoints/(len(m.GetInstances())+1)), p.stepEnd()
	m.History = s.series.history(from, most, end)
	byKey := make(map[[2]string]*seenInstance, len(s.instances))
	for _, i := range s.instances {
		byKey[[2]string{i.now.ID, i.now.Address}] = i
	}
	for _, i := range m.GetInstances() {
		if known := byKey[[2]string{i.GetId(), i.GetAddress()}]; known != nil && known.series != nil {
			i.History = known.series.history(from, most, end)
		}
	}
	return p.step
}
