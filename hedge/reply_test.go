package hedge_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/hedge"
)

// frame is a reply that only its maker can read.
type frame struct{ bytes []byte }

func (*frame) Fresh() hedge.Opaque         { return &frame{} }
func (f *frame) Adopt(from hedge.Opaque)   { f.bytes = from.(*frame).bytes }
func (f *frame) answer(text string) error  { f.bytes = append(f.bytes, text...); return nil }
func (f *frame) spoil(ctx context.Context) { f.bytes = []byte("half"); <-ctx.Done() }

func TestOpaqueRepliesAreHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int32
		invoke := func(ctx context.Context, _ string, _, reply any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			f := reply.(*frame)
			if sent.Add(1) == 1 {
				f.spoil(ctx)
				return ctx.Err()
			}
			return f.answer("whole")
		}
		reply := &frame{}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c := newClient(t)
		if err := c.method(get).Invoke(ctx, get, &frame{}, reply, nil, invoke); err != nil {
			t.Fatal(err)
		}
		if string(reply.bytes) != "whole" || sent.Load() != 2 {
			t.Errorf("%q after %d attempts", reply.bytes, sent.Load())
		}
	})
}
