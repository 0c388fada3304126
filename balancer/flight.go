package balancer

import (
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/target"
)

// flight is one attempt on its way. Flights are reused: done, which gRPC calls exactly once per attempt, is bound when the flight is made,
// so that a pick allocates nothing for it.
type flight struct {
	policy *lb
	done   func(balancer.DoneInfo)

	inst   *instance
	method *method
	call   *call.Call // only until something was sent
	start  time.Duration
	// budget is all the time that the call has, of which attempts before this one may have used some; 0: not known.
	budget time.Duration
	child  func(balancer.DoneInfo)
	report func(error)

	prev, next *flight
}

// finish hears from gRPC how the attempt ended.
func (f *flight) finish(info balancer.DoneInfo) {
	if f.child != nil {
		f.child(info)
	}
	i, now := f.inst, f.policy.now()
	if !info.BytesSent && f.call != nil {
		f.unsent(info.Err)
	}
	o := judge(info, func() bool { return f.late(now) })
	if f.report != nil {
		f.report(o.report())
	}
	code := codes.OK
	if info.Err != nil {
		code = status.Code(info.Err)
	}
	if i.land(f, now, o, code, info) {
		f.policy.tellStreak(i, f.method)
	}
	if t := i.traffic.Load(); t != nil && info.BytesSent {
		f.account(t, now, o, code)
	}
	f.inst, f.method, f.call, f.child, f.report = nil, nil, nil, nil, nil
	f.policy.flights.Put(f)
}

// unsent takes back an attempt that never was one. Without an error the connection was not up, and the instance may be chosen anew. With
// one the connection broke just then, or could not take the call in time: another instance may be able to.
func (f *flight) unsent(err error) {
	if err == nil {
		f.call.Unsent(f.inst.id)
		return
	}
	f.call.Attempts.Add(-1)
}

// account counts the attempt, which was sent, in the traffic of its instance. What is an error does not depend on how much time the attempt
// had, as it does for the breaker.
func (f *flight) account(t *target.Traffic, now time.Duration, o outcome, code codes.Code) {
	latency := time.Duration(-1)
	if f.method.unary && code != codes.Canceled {
		latency = now - f.start
	}
	t.End(o == outcomeBad || code == codes.DeadlineExceeded && !f.method.stream, latency)
}

// lateTimes is how many times the usual duration an attempt must have had for a deadline to speak against the instance.
const lateTimes = 5

// A call's whole time is enough too if it is at least so many times the usual duration. Nothing below the minimum says anything: else a
// client with a deadline of a microsecond could take every instance out.
const (
	fairTimes   = 2
	lateMinimum = 50 * time.Millisecond
)

func (f *flight) late(now time.Duration) bool {
	if f.method.stream {
		return false // its deadline is how long somebody wanted to listen
	}
	usual := f.method.usual()
	need := max(lateTimes*usual, lateMinimum)
	if f.budget > 0 && (usual == 0 || f.budget < need) {
		if f.budget < max(fairTimes*usual, lateMinimum) {
			return false // the caller did not mean to wait
		}
		need = f.budget
	}
	// Timers are coarse: a deadline fires a little early or late.
	return now-f.start >= need-need/20
}

// inFlight are the unary calls on their way to an instance, in the order in which they began. Guarded by the instance's lock.
type inFlight struct{ first, last *flight }

func (l *inFlight) add(f *flight) {
	f.prev, f.next = l.last, nil
	if l.last == nil {
		l.first = f
	} else {
		l.last.next = f
	}
	l.last = f
}

func (l *inFlight) remove(f *flight) {
	if f.prev == nil {
		l.first = f.next
	} else {
		f.prev.next = f.next
	}
	if f.next == nil {
		l.last = f.prev
	} else {
		f.next.prev = f.prev
	}
	f.prev, f.next = nil, nil
}
