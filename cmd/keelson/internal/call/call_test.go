package call_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/call"
	"github.com/keelson-dev/keelson/cmd/keelson/internal/workspace"
)

// outcome is what a user sees of a call.
type outcome struct {
	Out, Err string
	Code     int
}

// do calls and collects what a user sees.
func do(t *testing.T, o call.Options) outcome {
	t.Helper()
	var out, problems bytes.Buffer
	if o.Out == nil {
		o.Out = &out
	}
	if o.In == nil {
		o.In = strings.NewReader("")
	}
	o.Err = &problems
	err := call.Run(t.Context(), o)
	code := 0
	var exit *call.ExitError
	switch {
	case errors.As(err, &exit):
		if code = exit.Code; exit.Err != nil {
			fmt.Fprintln(&problems, exit.Err)
		}
	case err != nil:
		code = 1
		fmt.Fprintln(&problems, err)
	}
	return outcome{out.String(), problems.String(), code}
}

func text(s string) *string { return &s }

func TestCallsOfAllFourKinds(t *testing.T) {
	address := serve(t, withReflection)
	for name, tc := range map[string]struct {
		opts call.Options
		want string
	}{
		"unary prints one document": {
			call.Options{Method: "UnaryCall", Input: text("{\n \"payload\": {\"body\": \"aGk=\"}}"), Headers: []string{"X-User: ada"}},
			"{\n  \"payload\": {\n    \"body\": \"aGk=\"\n  },\n  \"username\": \"ada\"\n}\n",
		},
		"unary without input sends the empty message": {call.Options{Method: "UnaryCall"}, "{}\n"},
		"defaults are shown when asked for": {
			call.Options{Method: "StreamingInputCall", Defaults: true}, "{\n  \"aggregatedPayloadSize\": 0\n}\n",
		},
		"server stream prints a line for each message": {
			call.Options{Method: "StreamingOutputCall", Input: text(`{"responseParameters": [{"size": 1}, {"size": 2}]}`)},
			"{\"payload\":{\"body\":\"AA==\"}}\n{\"payload\":{\"body\":\"AAA=\"}}\n",
		},
		"client stream reads lines, also without the last newline": {
			call.Options{Method: "StreamingInputCall", In: strings.NewReader("{}\r\n\n  \n{}\n{}")}, "{\n  \"aggregatedPayloadSize\": 3\n}\n",
		},
		"both streams, from the argument": {
			call.Options{Method: "grpc.testing.TestService/FullDuplexCall", Input: text("{\"payload\":{\"body\":\"AA==\"}}\n{}")},
			"{\"payload\":{\"body\":\"AA==\"}}\n{}\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.opts.Target = address
			if diff := cmp.Diff(outcome{Out: tc.want}, do(t, tc.opts)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestErrorsAreSpelledOutAndDecideTheExitCode(t *testing.T) {
	got := do(t, call.Options{Target: serve(t, withReflection), Method: "UnaryCall", Input: text(`{"responseStatus": {"code": 3, "message": "not so"}}`)})
	want := `INVALID_ARGUMENT: not so
  reason                ASKED_FOR
  domain                example.com
  metadata              a = 1
  metadata              b = 2
  field                 user.email: is no address (INVALID)
  retry after           1.5s
  correlation           request-1
  grpc.testing.Payload  {"body":"ZGV0YWls"}
`
	if diff := cmp.Diff(outcome{Err: want, Code: 67}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFaultOfTheInputDoesNotLoseWhatCameBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in.ndjson")
	must(t, os.WriteFile(path, []byte("{\"payload\":{\"body\":\"AA==\"}}\n\n{\"payload\":{\"body\":\"AAA=\"}}\n  {\"payload\":{\"bod\":1}}\n{}\n"), 0o644))
	got := do(t, call.Options{Target: serve(t, withReflection), Method: "FullDuplexCall", Input: text("@" + path)})
	want := "{\"payload\":{\"body\":\"AA==\"}}\n{\"payload\":{\"body\":\"AAA=\"}}\n"
	if got.Out != want || got.Code != 1 {
		t.Errorf("got code %d and\n%s\nwant the answers to the two messages before the fault", got.Code, got.Out)
	}
	if !strings.HasPrefix(got.Err, path+`:4:15: unknown field "bod"`) || !strings.Contains(got.Err, "nearest first: body") {
		t.Errorf("got %q, want file, line, column and the nearest field", got.Err)
	}
}

func TestStreamThatBreaksSaysHowFarItCame(t *testing.T) {
	got := do(t, call.Options{Target: serve(t, withReflection), Method: "FullDuplexCall", Input: text("{}\n{\"responseStatus\":{\"code\":14,\"message\":\"gone\"}}"), Headers: []string{"x-correlation-id: mine-1"}})
	want := outcome{"{}\n", "UNAVAILABLE: gone\n  correlation  mine-1\n  the stream broke after 2 messages sent and 1 received\n", 78}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLongStreamsFlowBothWaysAtOnce(t *testing.T) {
	const n = 20_000
	r, w := io.Pipe()
	go func() {
		b := bufio.NewWriter(w)
		for i := range n {
			fmt.Fprintf(b, "{\"payload\":{\"body\":\"%04d\"}}\n", i%10000)
		}
		_ = b.Flush()
		_ = w.Close()
	}()
	got := do(t, call.Options{Target: serve(t, withReflection), Method: "FullDuplexCall", Input: text("-"), In: r})
	if lines := strings.Count(got.Out, "\n"); lines != n || got.Code != 0 {
		t.Errorf("%d answers and code %d, want %d and 0; %s", lines, got.Code, n, got.Err)
	}
}

func TestDeadlineIsThatOfTheCaller(t *testing.T) {
	r, w := io.Pipe()
	defer func() { _ = w.Close() }()
	got := do(t, call.Options{Target: serve(t, withReflection), Method: "FullDuplexCall", In: r, Deadline: 2 * time.Second})
	// What is left of the deadline when the call begins, on a busy machine a little less.
	if said := regexp.MustCompile(`took longer than [0-9.]+m?s, set by the caller`); got.Code != 68 || !said.MatchString(got.Err) {
		t.Errorf("got code %d and %q", got.Code, got.Err)
	}
}

func TestReaderThatGoesAwayEndsTheCallQuietly(t *testing.T) {
	for name, input := range map[string]string{
		"while messages come":        `{"responseParameters": [` + strings.Repeat(`{"size": 100000},`, 500) + `{"size": 1}]}`,
		"while the stream is silent": `{"responseParameters": [{"size": 1}, {"intervalUs": 1}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			r, w, err := os.Pipe()
			must(t, err)
			go func() { // as head -1 does
				_, _ = bufio.NewReader(r).ReadString('\n')
				_ = r.Close()
			}()
			got := do(t, call.Options{Target: serve(t, withReflection), Method: "StreamingOutputCall", Input: &input, Out: w})
			_ = w.Close()
			if got.Code != 0 || got.Err != "" {
				t.Errorf("got code %d and %q, want a quiet end", got.Code, got.Err)
			}
		})
	}
}

func TestDescriptorSetStandsInForReflection(t *testing.T) {
	address := serve(t)
	got := do(t, call.Options{Target: address, Method: "UnaryCall"})
	if got.Code == 0 || !strings.Contains(got.Err, "--descriptor-set") {
		t.Errorf("without reflection: got code %d and %q, want a hint at --descriptor-set", got.Code, got.Err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	for _, f := range []interface{ Path() string }{grpc_testing.File_grpc_testing_empty_proto, grpc_testing.File_grpc_testing_messages_proto, grpc_testing.File_grpc_testing_test_proto} {
		seen[f.Path()] = true
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(grpc_testing.File_grpc_testing_empty_proto),
		protodesc.ToFileDescriptorProto(grpc_testing.File_grpc_testing_messages_proto), protodesc.ToFileDescriptorProto(grpc_testing.File_grpc_testing_test_proto))
	raw, err := proto.Marshal(set)
	must(t, err)
	path := filepath.Join(t.TempDir(), "set.binpb")
	must(t, os.WriteFile(path, raw, 0o644))
	if got := do(t, call.Options{Target: address, Method: "UnaryCall", DescriptorSet: path}); got.Code != 0 || got.Out != "{}\n" {
		t.Errorf("with the set: %+v", got)
	}
}

func TestWhatCannotBeCalledSaysWhy(t *testing.T) {
	t.Setenv(workspace.Variable, filepath.Join(t.TempDir(), "registry"))
	address := serve(t, withReflection)
	for name, tc := range map[string]struct {
		opts call.Options
		want string
	}{
		"service that is not registered":  {call.Options{Target: "user", Method: "GetUser"}, "no instance of user is registered in"},
		"empty target":                    {call.Options{Target: "", Method: "X"}, "the target is empty"},
		"port without a host in brackets": {call.Options{Target: "::1:9090", Method: "X"}, "brackets"},
		"URL with a path":                 {call.Options{Target: "http://localhost:1/x", Method: "X"}, "no path before the method"},
		"plaintext to another machine":    {call.Options{Target: "192.0.2.1:9090", Method: "X"}, "insecure"},
		"method that does not exist":      {call.Options{Target: address, Method: "UnaryCal"}, `nearest first: grpc.testing.TestService/UnaryCall,`},
		"file that does not exist":        {call.Options{Target: address, Method: "UnaryCall", Input: text("@no-such-file")}, "open the input"},
		"at sign alone":                   {call.Options{Target: address, Method: "UnaryCall", Input: text("@")}, "lacks the name of a file"},
		"JSON that ends in the middle":    {call.Options{Target: address, Method: "UnaryCall", Input: text("{\"payload\":")}, "argument:1:"},
		"header without a colon":          {call.Options{Target: address, Method: "UnaryCall", Headers: []string{"x"}}, "is not name: value"},
		"header of gRPC itself":           {call.Options{Target: address, Method: "UnaryCall", Headers: []string{"grpc-timeout: 1S"}}, "--deadline"},
		"binary header that is no base64": {call.Options{Target: address, Method: "UnaryCall", Headers: []string{"a-bin: %"}}, "base64"},
		"descriptor set that is none":     {call.Options{Target: address, Method: "X", DescriptorSet: "call_test.go"}, "no google.protobuf.FileDescriptorSet"},
	} {
		t.Run(name, func(t *testing.T) {
			got := do(t, tc.opts)
			if got.Code != 1 || !strings.Contains(got.Err, tc.want) {
				t.Errorf("got code %d and %q, want 1 and %q", got.Code, got.Err, tc.want)
			}
		})
	}
}

func TestNobodyListensIsUnavailable(t *testing.T) {
	got := do(t, call.Options{Target: "127.0.0.1:1", Method: "X"})
	if got.Code != 78 || !strings.HasPrefix(got.Err, "UNAVAILABLE: ") {
		t.Errorf("got code %d and %q", got.Code, got.Err)
	}
}

func TestConsulIsWhereTheVariablesOfServicesSay(t *testing.T) {
	t.Setenv("KEELSON_DISCOVERY__CONSUL__ADDRESS", "127.0.0.1:1")
	t.Setenv("KEELSON_DISCOVERY__CONSUL__TOKEN", "hidden-token")
	got := do(t, call.Options{Target: "consul:///user?tag=v1", Method: "X"})
	if got.Code != 78 || !strings.Contains(got.Err, `service "user" with tag=v1 in consul registry http://127.0.0.1:1`) || strings.Contains(got.Err, "hidden") {
		t.Errorf("got code %d and %q", got.Code, got.Err)
	}
	t.Setenv("KEELSON_DISCOVERY__CONSUL__WAIT", "forever")
	if got := do(t, call.Options{Target: "consul:///user", Method: "X"}); got.Code != 1 || !strings.Contains(got.Err, "find Consul") {
		t.Errorf("got code %d and %q", got.Code, got.Err)
	}
}

func TestInterruptEndsTheCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out := writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	err := call.Run(ctx, call.Options{
		Target: serve(t, withReflection), Method: "StreamingOutputCall", Input: text(`{"responseParameters": [{"size": 1}, {"intervalUs": 1}]}`),
		In: strings.NewReader(""), Out: out, Err: io.Discard,
	})
	if err == nil {
		t.Error("got nil, want an error for the caller to make 130 of")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
