package consul

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/keelson-dev/keelson/discovery"
)

// entry is what is read of one element of a list.
type entry struct {
	Node struct {
		Node    string
		Address string
	}
	Service struct {
		ID      string
		Service string
		Address string
		Port    int
		Meta    map[string]string
		Weights api.AgentWeights
	}
	Checks []struct{ CheckID, Status string }
}

// decoded is an element whose bytes were seen before.
type decoded struct {
	in     discovery.Instance
	status string
	err    error
}

// decoder turns answers into updates. Of two answers in a row most elements are the same, byte for byte: those are taken over, and what an
// answer costs is to look for their ends. One goroutine at a time.
type decoder struct {
	service string
	seed    maphash.Seed
	buf     []byte
	whole   uint64 // of the last answer
	given   bool   // there was one
	seen    map[uint64]decoded
}

func newDecoder(service string) *decoder {
	return &decoder{service: service, seed: maphash.MakeSeed()}
}

// forget makes the next answer one that is not compared with the last.
func (d *decoder) forget() { d.given = false }

// read reads a body into the decoder's own memory; length is what was announced, or -1.
func (d *decoder) read(body io.Reader, length int64) ([]byte, error) {
	b := bytes.NewBuffer(d.buf[:0])
	if length > 0 && length < maxBody {
		b.Grow(int(length) + bytes.MinRead)
	}
	_, err := b.ReadFrom(body)
	d.buf = b.Bytes()
	return d.buf, err
}

// decode reads a whole answer. A list that is cut short, or is none, is an error; an element that is no instance is left out.
func (d *decoder) decode(body []byte) (discovery.Update, error) {
	whole := maphash.Bytes(d.seed, body)
	if d.given && whole == d.whole {
		return discovery.Update{Unchanged: true}, nil
	}
	var u discovery.Update
	next := make(map[uint64]decoded, len(d.seen))
	err := split(body, func(raw []byte) {
		key := maphash.Bytes(d.seed, raw)
		e, ok := d.seen[key]
		if !ok {
			e = d.element(raw)
		}
		next[key] = e
		switch {
		case e.err != nil:
			u.Invalid = append(u.Invalid, e.err)
		case e.status == api.HealthPassing, e.status == api.HealthWarning:
			u.Instances = append(u.Instances, e.in)
		default:
			u.Failing = append(u.Failing, e.in)
		}
	})
	if err != nil {
		return discovery.Update{}, err
	}
	d.seen, d.whole, d.given = next, whole, true
	return u, nil
}

func (d *decoder) element(raw []byte) decoded {
	var e entry
	if err := json.Unmarshal(raw, &e); err != nil {
		return decoded{err: fmt.Errorf("entry %q: %w", e.Service.ID, err)}
	}
	in, err := e.instance()
	if err != nil {
		return decoded{err: fmt.Errorf("entry %q on node %q: %w", e.Service.ID, e.Node.Node, err)}
	}
	status := e.status()
	if status == api.HealthWarning {
		in.Weight = e.weight(true)
	}
	return decoded{in: in, status: status}
}

// status is the worst of the checks; maintenance is worse than all.
func (e *entry) status() string {
	checks := make(api.HealthChecks, 0, len(e.Checks))
	for _, c := range e.Checks {
		checks = append(checks, &api.HealthCheck{CheckID: c.CheckID, Status: c.Status})
	}
	return checks.AggregatedStatus()
}

// instance reads what record writes, and makes the best of what others wrote.
func (e *entry) instance() (discovery.Instance, error) {
	s := &e.Service
	host := strings.Trim(cmp.Or(s.Address, e.Node.Address), "[]") // some write IPv6 as in a URL
	in := discovery.Instance{
		Service: s.Service, ID: s.Meta[metaID], Address: net.JoinHostPort(host, strconv.Itoa(s.Port)),
		OpsAddress: s.Meta[metaOps], DebugAddress: s.Meta[metaDebug],
		Version: s.Meta[metaVersion], Zone: s.Meta[metaZone], Weight: e.weight(false),
	}
	if in.ID == "" {
		in.ID = s.ID
	} else if s.ID != serviceID(s.Service, in.ID) {
		return in, fmt.Errorf("meta %s is %q, which does not belong to this ID", metaID, in.ID)
	}
	var faults []error
	if text := s.Meta[metaPID]; text != "" {
		pid, err := strconv.Atoi(text)
		faults = append(faults, wrapMeta(metaPID, err))
		in.PID = pid
	}
	if text := s.Meta[metaStart]; text != "" {
		start, err := time.Parse(time.RFC3339Nano, text)
		faults = append(faults, wrapMeta(metaStart, err))
		in.StartTime = start
	}
	in.Meta = e.others()
	return in, errors.Join(append(faults, in.Validate())...)
}

func wrapMeta(key string, err error) error {
	if err != nil {
		return fmt.Errorf("meta %s: %w", key, err)
	}
	return nil
}

// weight is that of Consul. Whoever registers without one has 1 and 1, which says nothing.
func (e *entry) weight(warning bool) uint32 {
	w := e.Service.Weights
	if w.Passing <= 1 && w.Warning <= 1 && e.Service.Meta[metaID] == "" {
		w = api.AgentWeights{Passing: discovery.DefaultWeight, Warning: discovery.DefaultWeight / 2}
	}
	n := w.Passing
	if warning {
		n = w.Warning
	}
	return uint32(min(max(n, 1), discovery.MaxWeight))
}

// others is the metadata that is the instance's own.
func (e *entry) others() map[string]string {
	var out map[string]string
	for k, v := range e.Service.Meta {
		if strings.HasPrefix(k, metaPrefix) || k == metaVersion || k == metaZone || k == metaWeight {
			continue
		}
		if out == nil {
			out = make(map[string]string, len(e.Service.Meta))
		}
		out[k] = v
	}
	return out
}
