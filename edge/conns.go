package edge

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// idleGrace is how long a connection of HTTP/1.1 must have waited for a request,
// since the edge said that it leaves, to be closed. Nothing tells a client that its
// next request will not be read any more; what it uses within this time is answered,
// and the answer tells it.
const idleGrace = time.Second

// listener bounds the connections that are open at once, and knows them.
type listener struct {
	net.Listener
	edge *Edge

	mu        sync.Mutex
	open      map[*conn]struct{}
	addresses map[netip.Addr]int
	released  chan struct{} // closed when Accept may tell that there is nothing more
	release   sync.Once
	deaf      chan struct{} // closed when nothing is accepted any more
	shut      sync.Once
	shutErr   error
}

func newListener(l net.Listener, e *Edge) *listener {
	return &listener{Listener: l, edge: e, open: map[*conn]struct{}{}, addresses: map[netip.Addr]int{}, released: make(chan struct{}), deaf: make(chan struct{})}
}

// lastCall is for how long a shutdown accepts the connections that the system has
// taken already.
const lastCall = 50 * time.Millisecond

// Accept implements net.Listener. A connection that is one too many is closed at
// once. When the edge shuts down it waits for let: net/http closes idle connections
// as soon as Accept has returned, and before that clients of HTTP/2 shall hear that
// the server leaves.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if l.edge.shutting.Load() {
				_ = l.Close() // Close of the server tells
				<-l.released
				return nil, net.ErrClosed
			}
			return nil, err //nolint:wrapcheck // net/http tells by it whether to go on
		}
		if admitted := l.admit(c); admitted != nil {
			return admitted, nil
		}
		_ = c.Close() // it was refused
	}
}

// Close implements net.Listener. It may be called again.
func (l *listener) Close() error {
	l.shut.Do(func() {
		l.shutErr = l.Listener.Close()
		close(l.deaf)
	})
	return l.shutErr
}

// stop accepts for a moment more and then closes.
func (l *listener) stop() {
	if d, ok := l.Listener.(interface{ SetDeadline(at time.Time) error }); ok && d.SetDeadline(time.Now().Add(lastCall)) == nil {
		return
	}
	_ = l.Close() // Close of the server tells
}

// let lets Accept return.
func (l *listener) let() { l.release.Do(func() { close(l.released) }) }

// admit returns the connection, counted, or nil when it is one too many.
func (l *listener) admit(c net.Conn) net.Conn {
	address := addressOf(c.RemoteAddr().String())
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.edge.cfg.MaxConnections {
		l.edge.metrics.refused(refusedConnections)
		return nil
	}
	if l.addresses[address] >= l.edge.cfg.MaxConnectionsPerAddress && !l.edge.proxies.trust(address) {
		l.edge.metrics.refused(refusedAddress)
		return nil
	}
	counted := &conn{Conn: c, listener: l, address: address, since: time.Now()}
	l.open[counted] = struct{}{}
	l.addresses[address]++
	l.edge.metrics.connections.Inc()
	return counted
}

// gone forgets a connection.
func (l *listener) gone(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.open[c]; !ok {
		return
	}
	delete(l.open, c)
	if l.addresses[c.address]--; l.addresses[c.address] <= 0 {
		delete(l.addresses, c.address)
	}
	l.edge.metrics.connections.Dec()
}

// endIdle ends the connections of HTTP/1.1 that have waited for a request for long
// enough. open is how many connections there are, and waiting how many of them are
// HTTP/1.1's without a request that is being answered.
func (l *listener) endIdle() (open, waiting int) {
	l.mu.Lock()
	all := make([]*conn, 0, len(l.open))
	for c := range l.open {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		if c.endIdle(l.edge.left() >= idleGrace) {
			waiting++
		}
	}
	return len(all), waiting
}

// conn is a connection of the edge.
type conn struct {
	net.Conn
	listener *listener
	address  netip.Addr
	since    time.Time

	mu      sync.Mutex
	begun   bool      // something came over it
	waits   time.Time // since when, when it is idle
	http2   bool
	idle    bool // of HTTP/1.1: the next byte begins a request
	busy    bool // a request is being answered
	expired bool // the wait for that byte was ended
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begun {
		c.begun = true
		c.http2 = n >= 3 && string(p[:3]) == "PRI" // in plaintext; under TLS the server says
	}
	c.idle = false
	if c.expired { // it came just in time
		c.expired = false
		_ = c.Conn.SetReadDeadline(time.Time{}) // a connection that is closed needs none
	}
	return n, err
}

// setIdle is told by the server.
func (c *conn) setIdle(http2 bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.http2 = c.http2 || http2
	c.idle, c.busy, c.waits = !c.http2, false, time.Now()
}

// setBusy is told by the server.
func (c *conn) setBusy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = true
}

// endIdle ends the wait for a request that did not begin, if it may, and tells
// whether this is a connection of HTTP/1.1 without a request that is being answered.
func (c *conn) endIdle(may bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if may && (c.idle && time.Since(c.waits) >= idleGrace || !c.begun && time.Since(c.since) >= idleGrace) {
		c.expired = true
		_ = c.Conn.SetReadDeadline(past) // a connection that is closed needs none
	}
	return !c.busy && !c.http2
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.listener.gone(c)
	return c.Conn.Close()
}
