package balancer

import (
	"math"
	"slices"
)

// weigh sets what the registry's weights and the zones make of each instance. The caller holds the policy's lock.
func (p *lb) weigh() {
	if p.cfg == nil {
		return
	}
	usual, largest := weights(p.list)
	remote := 1.0
	if p.cfg.spreads() {
		remote = remoteShare(p.list, p.cfg.Zone)
	}
	for _, i := range p.list {
		i.mu.Lock()
		i.factors.weight, i.factors.zone = 1, 1
		if p.cfg.spreads() {
			w := i.info.Weight
			if w == 0 {
				w = usual
			}
			if largest > 0 {
				i.factors.weight = float64(w) / float64(largest)
			}
			if i.info.Zone != p.cfg.Zone {
				i.factors.zone = remote
			}
		}
		i.mu.Unlock()
	}
}

// weights returns the median and the largest of the weights that are known; 0 without any.
func weights(list []*instance) (usual, largest uint32) {
	var known []uint32
	for _, i := range list {
		i.mu.Lock()
		if w := i.info.Weight; w > 0 {
			known = append(known, w)
		}
		i.mu.Unlock()
	}
	if len(known) == 0 {
		return 0, 0
	}
	slices.Sort(known)
	return known[(len(known)-1)/2], known[len(known)-1]
}

const (
	// localEnough is the part of the local instances that must be well for all calls to stay, and localLeast how many that must be.
	localEnough = 0.5
	localLeast  = 2
)

// remoteShare is the factor of instances in other zones: 0 while enough local ones are well, then just as much as keeps the local ones at
// what they would carry then, and 1 when hardly any is left, or the client knows no zone.
func remoteShare(list []*instance, zone string) float64 {
	if zone == "" {
		return 1
	}
	var local, localWell, remoteWell float64
	for _, i := range list {
		i.mu.Lock()
		here := i.info.Zone == zone
		i.mu.Unlock()
		well := i.ready.Load() > 0 && !i.open()
		switch {
		case here:
			local++
			if well {
				localWell++
			}
		case well:
			remoteWell++
		}
	}
	if localWell < localLeast {
		return 1
	}
	stay := min(1, localWell/local/localEnough)
	if stay >= 1 || remoteWell == 0 {
		return 1 - math.Floor(stay)
	}
	return min(1, localWell*(1-stay)/(stay*remoteWell))
}
