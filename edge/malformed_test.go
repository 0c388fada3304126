package edge_test

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/errs"
)

// frame is a message as gRPC frames it.
func frame(flags byte, message string) string {
	return string(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(message)))) + message //nolint:gosec // small
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// told is what an answer says of why it is an error.
type told struct {
	Code                             codes.Code
	Message, Reason, Domain, Request string
}

// errorOf reads the error of an answer of gRPC-Web or Connect.
func errorOf(t *testing.T, resp *http.Response, text string) told {
	t.Helper()
	media := resp.Header.Get("Content-Type")
	if strings.Contains(media, "grpc") {
		return tell(statusOf(t, resp.Header))
	}
	if strings.HasPrefix(media, "application/connect+") {
		for len(text) > 5 && text[0] != 2 { // to the last frame
			text = text[5+binary.BigEndian.Uint32([]byte(text[1:])):]
		}
		text = text[min(5, len(text)):]
	}
	type wire struct {
		Code, Message string
		Details       []struct{ Type, Value string }
	}
	var unary struct {
		wire
		Error wire
	}
	if err := json.Unmarshal([]byte(text), &unary); err != nil {
		t.Fatalf("%d %q: %v", resp.StatusCode, text, err)
	}
	e := unary.wire
	if e.Code == "" {
		e = unary.Error
	}
	p := &spb.Status{Message: e.Message}
	for c := codes.OK; c <= codes.Unauthenticated; c++ {
		if strings.EqualFold(errs.CodeName(c), e.Code) {
			p.Code = int32(c) //nolint:gosec // a code
		}
	}
	for _, d := range e.Details {
		raw, err := base64.RawStdEncoding.DecodeString(d.Value)
		if err != nil {
			t.Fatal(err)
		}
		p.Details = append(p.Details, &anypb.Any{TypeUrl: "type.googleapis.com/" + d.Type, Value: raw})
	}
	return tell(status.ErrorProto(p))
}

func tell(err error) told {
	e := errs.From(err)
	return told{e.Code(), e.Message(), e.Reason(), e.Domain(), e.RequestID()}
}

func TestBytesThatAreNoMessageAreTheClientsFault(t *testing.T) {
	r := start(t, edge.Config{})
	const unary, both, malformed = "Echo", "Send", edge.ReasonMalformedMessage
	for name, test := range map[string]struct {
		method, media, body string
		header              []string
		code                codes.Code
		reason, says        string
	}{
		"no JSON":                          {unary, "application/json", "{\n \"username\" 1}", nil, codes.InvalidArgument, "INVALID_JSON", "line 2, column 13"},
		"JSON of another message":          {unary, "application/json", `{"payload":{"body":7}}`, nil, codes.InvalidArgument, errs.ReasonInvalidRequest, "payload.body"},
		"JSON that ends early":             {unary, "application/json", `{"payload":`, nil, codes.InvalidArgument, "INVALID_JSON", "ends within"},
		"nothing for JSON":                 {unary, "application/json", "", nil, codes.InvalidArgument, malformed, "empty"},
		"no gzip":                          {unary, "application/json", "{}", []string{"Content-Encoding", "gzip"}, codes.InvalidArgument, malformed, "gzip"},
		"half of a gzip":                   {unary, "application/json", zipped(t, `{}`)[:15], []string{"Content-Encoding", "gzip"}, codes.InvalidArgument, malformed, "gzip"},
		"no JSON of gRPC-Web":              {unary, "application/grpc-web+json", frame(0, "{"), nil, codes.InvalidArgument, "INVALID_JSON", "line 1, column 2"},
		"no JSON in a stream of gRPC-Web":  {both, "application/grpc-web+json", frame(0, "{}") + frame(0, "["), nil, codes.InvalidArgument, "INVALID_JSON", "line 1"},
		"no JSON in text":                  {unary, "application/grpc-web-text+json", base64.StdEncoding.EncodeToString([]byte(frame(0, "x"))), nil, codes.InvalidArgument, "INVALID_JSON", "line 1"},
		"no JSON in a stream":              {both, "application/connect+json", frame(0, "{}") + frame(0, "x"), nil, codes.InvalidArgument, "INVALID_JSON", "line 1"},
		"no JSON for one":                  {"List", "application/connect+json", frame(0, "x"), nil, codes.InvalidArgument, "INVALID_JSON", "line 1"},
		"no base64":                        {unary, "application/grpc-web-text", "AA=A", nil, codes.InvalidArgument, malformed, "base64"},
		"flags of nobody":                  {unary, "application/grpc-web", frame(7, ""), nil, codes.InvalidArgument, malformed, "flags 7"},
		"flags of nobody, Connect":         {both, "application/connect+proto", frame(0, "") + frame(4, ""), nil, codes.InvalidArgument, malformed, "flags 4"},
		"half a prefix":                    {unary, "application/grpc-web", "\x00\x00", nil, codes.InvalidArgument, malformed, "ends within"},
		"half a message":                   {both, "application/connect+proto", frame(0, "") + "\x00\x00\x00\x00\x09x", nil, codes.InvalidArgument, malformed, "ends within"},
		"compressed, and not said so":      {unary, "application/grpc-web", frame(1, ""), nil, codes.Internal, malformed, "compressed"},
		"compressed JSON, and not said so": {unary, "application/grpc-web+json", frame(1, "{}"), nil, codes.Internal, malformed, "compressed"},
		"compressed with identity":         {both, "application/connect+json", frame(1, "{}"), []string{"Connect-Content-Encoding", "identity"}, codes.Internal, malformed, "compressed"},
		"not compressed, and said so":      {unary, "application/grpc-web+json", frame(1, "{}"), []string{"Grpc-Encoding", "gzip"}, codes.InvalidArgument, malformed, "gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, text := do(t, client(t, false), http.MethodPost, url(r, "/%s/%s", echoService, test.method), test.body, append(test.header, "Content-Type", test.media, edge.CorrelationHeader, "mine")...)
			got := errorOf(t, resp, text)
			want := told{test.code, got.Message, test.reason, "edge.test", "mine"}
			if diff := cmp.Diff(want, got); diff != "" || !strings.Contains(got.Message, test.says) {
				t.Errorf("%d %q, want %q (-want +got):\n%s", resp.StatusCode, got.Message, test.says, diff)
			}
			if n := len(resp.Header.Values(edge.CorrelationHeader)); n != 1 {
				t.Errorf("%d correlation IDs", n)
			}
		})
	}
	if n := r.counted(t, "keelson_edge_refused_total", "reason", "malformed"); n != 20 {
		t.Errorf("%v refusals were counted", n)
	}
	r.noWarnings(t)
}
