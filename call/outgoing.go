package call

import (
	"context"

	"google.golang.org/grpc/metadata"
)

// SetOutgoing returns a context whose outgoing metadata carries pairs of keys
// (in lower case) and values, and no other values of these keys: what a handler
// passes on of the metadata it got must not be sent beside what the chassis
// sends, for a receiver takes neither of two parents.
func SetOutgoing(ctx context.Context, pairs ...string) context.Context {
	if len(pairs) == 0 {
		return ctx
	}
	if md, ok := metadata.FromOutgoingContext(ctx); ok { // a copy
		replaced := false
		for i := 0; i < len(pairs); i += 2 {
			if _, there := md[pairs[i]]; there {
				delete(md, pairs[i])
				replaced = true
			}
		}
		if replaced {
			ctx = metadata.NewOutgoingContext(ctx, md)
		}
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// OutgoingCorrelationID returns the valid correlation ID that the outgoing
// metadata of a context carries, or "".
func OutgoingCorrelationID(ctx context.Context) string {
	md, ok := metadata.FromOutgoingContext(ctx)
	if !ok {
		return ""
	}
	if v := md.Get(CorrelationKey); len(v) > 0 && ValidCorrelationID(v[0]) {
		return v[0]
	}
	return ""
}
