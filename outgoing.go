package keelson

import (
	"sync"

	"google.golang.org/grpc/connectivity"

	"github.com/keelson-dev/keelson/breaker"
	"github.com/keelson-dev/keelson/hedge"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/target"
	"github.com/keelson-dev/keelson/telemetry/metrics"
)

// outgoing is what all connections of a client to one target share: its methods,
// and the count of its calls.
type outgoing struct {
	client  *Client
	target  string
	traffic target.Traffic
	methods sync.Map // full name, or the policy of unknown ones -> *clientMethod
}

// clientMethod is everything about one method that is called at one target.
type clientMethod struct {
	policy  *policy.Method
	metrics *metrics.Method
	breaker *breaker.Breaker
	hedge   *hedge.Method
}

// method resolves a method by name; each is resolved once.
func (o *outgoing) method(fullName string, stream bool) *clientMethod {
	if m, ok := o.methods.Load(fullName); ok {
		return m.(*clientMethod)
	}
	c := o.client
	p := c.table.Lookup(fullName)
	if stream && p == c.table.Unknown() {
		p = c.table.UnknownStream()
	}
	// Names that no table holds share one entry, so that they are bounded.
	key := any(fullName)
	if p.FullName == policy.UnknownName {
		key = p
	}
	m, _ := o.methods.LoadOrStore(key, &clientMethod{
		policy: p, metrics: c.tel.called.For(p), breaker: c.breakers.For(o.target, p), hedge: c.hedger.For(o.target, p),
	})
	return m.(*clientMethod)
}

// alone tells whether there is but one instance to ask, as far as is known.
func (o *outgoing) alone() bool {
	t := o.client.targets.Lookup(o.target)
	return t != nil && t.Instances() == 1
}

// forget makes the methods of a service be looked up anew by the next calls,
// because their policy has been replaced.
func (c *Client) forget(service string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.conns {
		o.methods.Range(func(name, m any) bool {
			if m.(*clientMethod).policy.Service == service {
				o.methods.Delete(name)
			}
			return true
		})
	}
}

// outgoingTo returns what the connections to a target share; the caller holds the
// lock.
func (c *Client) outgoingTo(target string) *outgoing {
	for _, o := range c.conns {
		if o.target == target {
			return o
		}
	}
	return &outgoing{client: c, target: target}
}

// reap forgets connections that others have closed, and what is known of targets
// to which none is left; the caller holds the lock.
func (c *Client) reap() {
	for conn, o := range c.conns {
		if conn.GetState() != connectivity.Shutdown {
			continue
		}
		delete(c.conns, conn)
		if c.outgoingTo(o.target) != o { // that was the last one
			c.breakers.Forget(o.target)
			c.hedger.Forget(o.target)
		}
	}
}
