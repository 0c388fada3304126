package platform

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc"
)

// Collector is an OTLP collector that takes everything and keeps nothing.
type Collector struct {
	// Address is host:port of its gRPC listener.
	Address string
	server  *grpc.Server
}

// NewCollector starts one on a port of the system's choice.
func NewCollector() (*Collector, error) {
	l, err := listen(0)
	if err != nil {
		return nil, err
	}
	take := func(_ any, s grpc.ServerStream) error {
		var m frame
		if err := s.RecvMsg(&m); err != nil {
			return err
		}
		return s.SendMsg(&frame{}) // an empty message: all was taken
	}
	c := &Collector{Address: l.Addr().String(), server: grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(take))}
	go func() { _ = c.server.Serve(l) }() // ends with the server
	return c, nil
}

// Close ends it.
func (c *Collector) Close() { c.server.Stop() }

// Silent is a server that accepts connections, reads what comes, and never says
// a word.
type Silent struct {
	// Address is host:port.
	Address string

	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
}

// NewSilent starts one on a port of the system's choice.
func NewSilent() (*Silent, error) {
	l, err := listen(0)
	if err != nil {
		return nil, err
	}
	s := &Silent{Address: l.Addr().String(), listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			go func() { _, _ = io.Copy(io.Discard, c) }() // ends with the connection
		}
	}()
	return s, nil
}

// Close ends it.
func (s *Silent) Close() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

// Unused is an address on which nobody listens.
func (p *Platform) Unused() (string, error) {
	port, err := p.ports.take()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}

// PipeLog makes the instance's next process write its log into a pipe: one that
// is read and thrown away, or one that nobody reads.
func (i *Instance) PipeLog(unread bool) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	i.logTo = w
	if unread {
		i.unread = r // kept open: writers wait for a reader
		return nil
	}
	go func() { // ends with the last writer
		_, _ = io.Copy(io.Discard, r)
		_ = r.Close()
	}()
	return nil
}
