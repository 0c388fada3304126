// Package port finds TCP ports on the loopback interface for tests of programs
// that cannot choose one themselves, or that must have the same one again.
package port

import (
	"net"
	"strconv"
	"testing"
)

// Held is a port that nothing listens on when it is found, and that the system
// gives to nobody else until it is released, so that a program may be started on
// it, ended and started again. On Linux a socket that is bound and does not listen
// holds it; a listener with SO_REUSEADDR, as those of Go, PostgreSQL and Redis are,
// can be opened there all the same. On other systems nothing holds it.
type Held struct {
	// Number is the port.
	Number int

	release func()
}

// Address is host:port.
func (h *Held) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(h.Number)) }

// Release lets the system give the port away. What listens there goes on.
func (h *Held) Release() { h.release() }

// Free holds a port until the test ends and returns its address.
func Free(tb testing.TB) string {
	tb.Helper()
	h, err := Hold()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(h.Release)
	return h.Address()
}
