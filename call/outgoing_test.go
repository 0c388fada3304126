package call_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/call"
)

func TestSetOutgoingReplacesWhatIsPassedOn(t *testing.T) {
	incoming := metadata.Pairs("traceparent", "the caller's", "Authorization", "token", call.CorrelationKey, "a b")
	ctx := metadata.AppendToOutgoingContext(metadata.NewOutgoingContext(t.Context(), incoming), "traceparent", "another", "k", "v")
	tests := []struct {
		name string
		ctx  context.Context
		give []string
		want metadata.MD
	}{
		{"nothing to send", t.Context(), nil, nil},
		{"nothing passed on", t.Context(), []string{"traceparent", "ours"}, metadata.Pairs("traceparent", "ours")},
		{"the same keys passed on", ctx, []string{"traceparent", "ours", call.CorrelationKey, "order-17"},
			metadata.Pairs("traceparent", "ours", "authorization", "token", "k", "v", call.CorrelationKey, "order-17")},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, _ := metadata.FromOutgoingContext(call.SetOutgoing(tc.ctx, tc.give...))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := incoming.Get("traceparent"); len(got) != 1 || got[0] != "the caller's" {
		t.Errorf("the caller's metadata were changed: %q", got)
	}
}

func TestOutgoingCorrelationID(t *testing.T) {
	for give, want := range map[string]string{"order-17": "order-17", "a b": "", "": ""} {
		if got := call.OutgoingCorrelationID(metadata.AppendToOutgoingContext(t.Context(), call.CorrelationKey, give)); got != want {
			t.Errorf("%q: %q", give, got)
		}
	}
	if got := call.OutgoingCorrelationID(t.Context()); got != "" {
		t.Errorf("without metadata: %q", got)
	}
}
