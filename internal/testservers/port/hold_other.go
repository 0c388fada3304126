//go:build !linux

package port

import (
	"fmt"
	"net"
)

// Hold finds a port.
func Hold() (*Held, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return &Held{Number: l.Addr().(*net.TCPAddr).Port, release: func() {}}, nil
}
