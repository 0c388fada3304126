package balancer

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/target"
)

// counted returns a policy over one instance, and the traffic of it.
func counted(t *testing.T) (balancer.Picker, *target.Traffic) {
	p, cc := stubPolicy(t, 1, `{}`, nil)
	return latest{cc}, p.list[0].traffic.Load()
}

// latest picks by the newest picker, as gRPC does, once it has an instance.
type latest struct{ cc *stubConn }

// Pick implements balancer.Picker.
func (l latest) Pick(info balancer.PickInfo) (r balancer.PickResult, err error) {
	for r, err = l.cc.pick().Pick(info); errors.Is(err, balancer.ErrNoSubConnAvailable); r, err = l.cc.pick().Pick(info) {
		runtime.Gosched()
	}
	return r, err
}

func TestAttemptsCountInTheTrafficOfTheirInstance(t *testing.T) {
	draining := status.Convert(errs.Draining("")).Err()
	for name, tc := range map[string]struct {
		kind   policy.Kind
		info   balancer.DoneInfo
		failed uint64
		timed  uint64
		unsent bool
	}{
		"well":                     {info: balancer.DoneInfo{BytesReceived: true}, timed: 1},
		"the caller's fault":       {info: balancer.DoneInfo{BytesReceived: true, Err: status.Error(codes.NotFound, "")}, timed: 1},
		"too much":                 {info: balancer.DoneInfo{BytesReceived: true, Err: status.Error(codes.ResourceExhausted, "")}, timed: 1},
		"unavailable":              {info: balancer.DoneInfo{BytesReceived: true, Err: status.Error(codes.Unavailable, "")}, failed: 1, timed: 1},
		"internal":                 {info: balancer.DoneInfo{BytesReceived: true, Err: status.Error(codes.Internal, "")}, failed: 1, timed: 1},
		"unknown":                  {info: balancer.DoneInfo{BytesReceived: true, Err: errors.New("x")}, failed: 1, timed: 1},
		"data loss":                {info: balancer.DoneInfo{BytesReceived: true, Err: status.Error(codes.DataLoss, "")}, failed: 1, timed: 1},
		"too late":                 {info: balancer.DoneInfo{Err: status.Error(codes.DeadlineExceeded, "")}, failed: 1, timed: 1},
		"cancelled":                {info: balancer.DoneInfo{Err: status.Error(codes.Canceled, "")}},
		"never sent":               {info: balancer.DoneInfo{}, unsent: true},
		"never sent in time":       {info: balancer.DoneInfo{Err: status.Error(codes.DeadlineExceeded, "")}, unsent: true},
		"a stream":                 {kind: policy.ServerStream, info: balancer.DoneInfo{BytesReceived: true}},
		"a stream that broke":      {kind: policy.ServerStream, info: balancer.DoneInfo{BytesReceived: true, Err: status.Error(codes.Unavailable, "")}, failed: 1},
		"a stream that was ended":  {kind: policy.ServerStream, info: balancer.DoneInfo{BytesReceived: true, Err: draining}},
		"a stream with a deadline": {kind: policy.ServerStream, info: balancer.DoneInfo{BytesReceived: true, Err: status.Error(codes.DeadlineExceeded, "")}},
	} {
		t.Run(name, func(t *testing.T) {
			pick, traffic := counted(t)
			m := &policy.Method{FullName: "/test.v1.TestService/Get", Kind: tc.kind}
			r, err := pick.Pick(balancer.PickInfo{FullMethodName: m.FullName, Ctx: &call.Call{Context: context.Background(), Side: call.Client, Method: m}})
			if err != nil {
				t.Fatal(err)
			}
			tc.info.BytesSent = !tc.unsent
			r.Done(tc.info)
			ended := uint64(1)
			if tc.unsent {
				ended = 0
			}
			var c target.TrafficCount
			traffic.Read(&c)
			if c.Ended != ended || c.Failed != tc.failed || c.Latency.Count() != tc.timed {
				t.Errorf("counted %d, %d of them errors, %d latencies; want %d, %d, %d", c.Ended, c.Failed, c.Latency.Count(), ended, tc.failed, tc.timed)
			}
		})
	}
}
