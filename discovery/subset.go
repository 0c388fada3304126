package discovery

import (
	"cmp"
	"slices"
)

// DefaultSubsetSize is how many instances a client connects to of a fleet that is larger than Subset.Above.
const DefaultSubsetSize = 20

// Subset makes each client of a large fleet connect to a part of it. Every client has its own part, chosen by rendezvous hashing (Thaler
// and Ravishankar, 1998) of Seed and the instances' IDs: clients spread evenly over instances, and an instance that comes or goes changes
// the part of those clients only that have it.
type Subset struct {
	// Above is the number of instances above which a part is used. Default 0, which means never; it then takes a tenth less to use all
	// again, so that a fleet of about that size does not go back and forth.
	Above int
	// Size is how many instances the part has. Default DefaultSubsetSize.
	Size int
	// Seed tells this client from others; it must be another one in each process, and the same for as long as the process lives. The
	// instance ID of the client's service fits.
	Seed string
	// Zone is the client's own zone. Instances there come first, except for a quarter of the part, which is chosen from other zones so that
	// there are connections when the zone fails. Empty, or in a list without that zone: all alike.
	Zone string
}

func (s Subset) withDefaults() Subset {
	if s.Size <= 0 {
		s.Size = DefaultSubsetSize
	}
	return s
}

// subsetter chooses the part of a list that is in effect. One goroutine at a time.
type subsetter struct {
	cfg    Subset
	active bool
}

// ranked is an entry with its place in this client's order.
type ranked struct {
	index int
	score uint64
}

// pick returns the part, in the order of the entries.
func (s *subsetter) pick(entries []entry) []entry {
	limit := s.cfg.Above
	if s.active {
		limit -= limit / 10
	}
	s.active = s.cfg.Above > 0 && len(entries) > max(limit, s.cfg.Size)
	if !s.active {
		return entries
	}
	seed := hash(fnvOffset, s.cfg.Seed)
	var near, far []ranked
	for i := range entries {
		r := ranked{index: i, score: mix(hash(seed, entries[i].inst.ID))}
		if s.cfg.Zone != "" && entries[i].inst.Zone == s.cfg.Zone {
			near = append(near, r)
		} else {
			far = append(far, r)
		}
	}
	size := s.cfg.Size
	fromFar := min(len(far), max(size/4, size-len(near)))
	if len(near) == 0 {
		fromFar = size
	}
	chosen := append(best(near, size-fromFar), best(far, fromFar)...)
	slices.SortFunc(chosen, func(a, b ranked) int { return cmp.Compare(a.index, b.index) })
	out := make([]entry, len(chosen))
	for i, r := range chosen {
		out[i] = entries[r.index]
	}
	return out
}

// best returns the n with the highest scores.
func best(all []ranked, n int) []ranked {
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.index, b.index)) })
	return all[:min(n, len(all))]
}

// FNV-1a, 64 bits.
const (
	fnvOffset uint64 = 14695981039346656037
	fnvPrime  uint64 = 1099511628211
)

// hash continues a FNV-1a hash with a string and its end.
func hash(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return (h ^ 0xff) * fnvPrime
}

// mix spreads what FNV leaves close together (the finalizer of SplitMix64, Steele et al. 2014).
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
