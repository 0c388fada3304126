package redis

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// dialer connects to Redis. go-redis prints to standard error what it cannot
// dial, through a logger that the whole process shares and that is not ours to
// replace. So it is given a connection in any case, and one that could not be
// made fails at its first use, with the reason.
func dialer(c *tls.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	var d interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	} = &net.Dialer{}
	if c != nil {
		d = &tls.Dialer{Config: c}
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return &unmade{err}, nil
		}
		return conn, nil
	}
}

// unmade is a connection that could not be made.
type unmade struct{ error }

func (u *unmade) Read([]byte) (int, error)         { return 0, u.error }
func (u *unmade) Write([]byte) (int, error)        { return 0, u.error }
func (u *unmade) Close() error                     { return nil }
func (u *unmade) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (u *unmade) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (u *unmade) SetDeadline(time.Time) error      { return nil }
func (u *unmade) SetReadDeadline(time.Time) error  { return nil }
func (u *unmade) SetWriteDeadline(time.Time) error { return nil }
