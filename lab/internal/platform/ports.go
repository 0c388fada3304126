package platform

import (
	"context"
	"fmt"
	"net"
	"os"
)

// The ports of the lab are below those that the system gives to outgoing
// connections, so that an instance finds its port free when it starts again.
const (
	firstPort = 20000
	portSpan  = 10000
)

// ports hands out ports of the loopback interface that nobody listens on.
type ports struct{ next int }

func newPorts() *ports { return &ports{next: os.Getpid() * 50} }

// take returns the next free port.
func (p *ports) take() (int, error) {
	for range portSpan {
		port := firstPort + p.next%portSpan
		p.next++
		l, err := listen(port)
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("find a free port from %d: none of %d is", firstPort, portSpan)
}

// listen listens on a port of the loopback interface; 0: one of the system's
// choice.
func listen(port int) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
}
