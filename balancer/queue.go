package balancer

import (
	"errors"
	"sync"

	"google.golang.org/grpc/balancer"
)

// errEjected is the error of an instance that is out, where the wrapped policy asks for one.
var errEjected = errors.New("the instance is out: it failed or hung, and is being probed")

// event is something that gRPC said of a connection.
type event struct {
	sub        *subConn
	state      balancer.SubConnState
	health     bool
	generation uint64
}

// queue carries events to the policy's goroutine. gRPC holds locks of its own while it speaks, so the wrapped policy cannot be told then.
type queue struct {
	mu     sync.Mutex
	events []event
}

func (p *lb) enqueue(e event) {
	p.queue.mu.Lock()
	p.queue.events = append(p.queue.events, e)
	p.queue.mu.Unlock()
	p.poke()
}

// deliver empties the queue and reports whether there was anything in it.
func (p *lb) deliver() bool {
	p.queue.mu.Lock()
	events := p.queue.events
	p.queue.events = nil
	p.queue.mu.Unlock()
	for _, e := range events {
		p.down.Lock()
		e.sub.deliver(e)
		p.down.Unlock()
	}
	return len(events) > 0
}
