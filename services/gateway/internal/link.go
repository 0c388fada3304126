package internal

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// link is a connection to a target that can be replaced while calls use it: it is
// closed when the last of them has ended.
type link struct {
	*grpc.ClientConn
	target string
	users  atomic.Int64 // calls, and one for being the present link
}

func newLink(target string, conn *grpc.ClientConn) *link {
	l := &link{ClientConn: conn, target: target}
	l.users.Store(1)
	return l
}

// acquire keeps the link open until release; false: it is closed.
func (l *link) acquire() bool {
	for {
		n := l.users.Load()
		if n == 0 {
			return false
		}
		if l.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (l *link) release() {
	if l.users.Add(-1) == 0 {
		_ = l.Close() // nobody uses it; the client may have closed it
	}
}

// idlePatience is how long a link may rest after it was asked to connect. Some
// policies (ring_hash) rest until a call chooses an instance.
const idlePatience = 100 * time.Millisecond

// ready waits for an instance that is ready: so long, and not for more than three
// quarters of the time that the call has, so that its client hears why.
func (l *link) ready(ctx context.Context, most time.Duration) error {
	state := l.GetState()
	if state == connectivity.Ready {
		return nil
	}
	if deadline, bounded := ctx.Deadline(); bounded {
		most = min(most, time.Until(deadline)*3/4)
	}
	wait, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for ; state != connectivity.Ready; state = l.GetState() {
		if state == connectivity.Idle {
			if l.staysIdle(wait) {
				return nil
			}
			continue
		}
		if !l.WaitForStateChange(wait, state) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return notReady(l.target, most)
		}
	}
	return nil
}

// staysIdle asks the link to connect, and tells whether it rests in spite of that.
func (l *link) staysIdle(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, idlePatience)
	defer cancel()
	l.Connect()
	return !l.WaitForStateChange(ctx, connectivity.Idle)
}
