package integration_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/call"
)

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (rawCodec) Unmarshal(b []byte, v any) error { *v.(*[]byte) = b; return nil }

func (rawCodec) Name() string { return "proto" }

// send makes a unary call with a body that no client of ours would send.
func send(ctx context.Context, conn *grpc.ClientConn, method string, body []byte, opts ...grpc.CallOption) error {
	var reply []byte
	return conn.Invoke(ctx, method, &body, &reply, append(opts, grpc.ForceCodec(rawCodec{}), grpc.MaxCallSendMsgSize(1<<30))...)
}

func TestEachCallHasOneLineHoweverItEnds(t *testing.T) {
	p := newPlatform(t)
	i, log := p.startLogged("a", "KEELSON_LOG__LEVEL=info")
	conn, err := grpc.NewClient(i.Address, insecureCredentials())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const get, watch = "/user.v1.UserService/GetUser", "/user.v1.UserService/WatchUsers"
	calls := map[string]func(ctx context.Context){
		"UNIMPLEMENTED":      func(ctx context.Context) { _ = send(ctx, conn, "/no.Such/Method", nil) },
		"RESOURCE_EXHAUSTED": func(ctx context.Context) { _ = send(ctx, conn, get, make([]byte, 5<<20)) },
		"INVALID_ARGUMENT":   func(ctx context.Context) { _ = send(ctx, conn, get, nil) },
		// The same code once more: the correlation ID only begins with it.
		"INVALID_ARGUMENT.undecodable": func(ctx context.Context) { _ = send(ctx, conn, get, []byte{0xff, 0xff, 0xff}) },
		"CANCELED": func(ctx context.Context) {
			ctx, cancel := context.WithCancel(ctx)
			stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, watch, grpc.ForceCodec(rawCodec{}))
			if err != nil {
				t.Fatal(err)
			}
			var body, event []byte
			if err := stream.SendMsg(&body); err != nil {
				t.Fatal(err)
			}
			_ = stream.CloseSend()
			if err := stream.RecvMsg(&event); err != nil {
				t.Error(err)
			}
			cancel()
			for err = nil; err == nil; err = stream.RecvMsg(&event) {
			}
		},
	}
	for code, act := range calls {
		act(metadata.AppendToOutgoingContext(t.Context(), call.CorrelationKey, code))
	}
	var trailer metadata.MD
	_ = send(metadata.AppendToOutgoingContext(t.Context(), call.CorrelationKey, "a b{}"), conn, get, nil, grpc.Trailer(&trailer))
	made := trailer.Get(call.CorrelationKey)
	if len(made) != 1 || !call.ValidCorrelationID(made[0]) {
		t.Errorf("a correlation ID that is not valid came back as %q", made)
	}
	i.end(t)
	lines := map[any][]any{}
	for _, line := range log.lines() {
		if line["event.action"] == "server_call" {
			id := line["labels.correlation_id"]
			lines[id] = append(lines[id], line["grpc.code"])
		}
	}
	for id := range calls {
		code, _, _ := strings.Cut(id, ".")
		if got := lines[id]; len(got) != 1 || got[0] != code {
			t.Errorf("the call %s has the lines %v", id, got)
		}
	}
	if len(lines) != len(calls)+1 || len(made) == 1 && len(lines[made[0]]) != 1 {
		t.Errorf("lines by correlation ID: %v", lines)
	}
}
