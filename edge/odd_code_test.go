package edge_test

import (
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/errs"
)

// oddly fails with a code that gRPC does not have, as services of other makes may.
func oddly(code codes.Code, details bool) grpc.StreamHandler {
	return func(any, grpc.ServerStream) error {
		st := status.New(code, "odd")
		if details {
			st, _ = st.WithDetails(&errdetails.ErrorInfo{Reason: "ODD", Domain: "test"}) // of a code that is no OK
		}
		return errs.Verbatim(st.Err())
	}
}

func TestACodeThatGRPCDoesNotHaveIsUnknown(t *testing.T) {
	for _, code := range []codes.Code{17, 99, 1 << 20} {
		for _, details := range []bool{false, true} {
			r := startServing(t, config(), edge.Config{H2C: true}, oddly(code, details))
			if err := dial(t, r.Address()).Invoke(t.Context(), "/"+echoService+"/Echo", &request{}, &request{}); status.Code(err) != code {
				t.Errorf("%d over gRPC: %v; it passes as it is", code, err)
			}
			c := client(t, false)
			for name, ask := range map[string]struct {
				path, media, body string
				http              int
				says              any
			}{
				"REST":         {"/v1/EchoService:echo", "application/json", "{}", 500, float64(codes.Unknown)},
				"Connect":      {"/" + echoService + "/Echo", "application/json", "{}", 500, "unknown"},
				"a stream":     {"/" + echoService + "/List", "application/connect+json", "\x00\x00\x00\x00\x02{}", 200, "unknown"},
				"gRPC-Web":     {"/" + echoService + "/Echo", "application/grpc-web+proto", "\x00\x00\x00\x00\x00", 200, nil},
				"REST, events": {"/v1/EchoService:list", "application/json", "{}", 500, float64(codes.Unknown)},
			} {
				resp, text := do(t, c, "POST", url(r, "%s", ask.path), ask.body, "Content-Type", ask.media)
				if resp.StatusCode != ask.http || details && ask.says != nil && !strings.Contains(text, "ErrorInfo") {
					t.Errorf("%d over %s: %s %s", code, name, resp.Status, text)
					continue
				}
				var said struct {
					Code  any
					Error struct{ Code any }
				}
				if ask.media == "application/connect+json" {
					text = text[5:]
				}
				if ask.says == nil {
					if got := resp.Header.Get("Grpc-Status"); got != "2" {
						t.Errorf("%d over %s: grpc-status %q", code, name, got)
					}
				} else if err := json.Unmarshal([]byte(text), &said); err != nil {
					t.Errorf("%d over %s: %v: %s", code, name, err, text)
				}
				if said.Code != ask.says && said.Error.Code != ask.says {
					t.Errorf("%d over %s: %s", code, name, text)
				}
			}
			if told := r.log.String(); strings.Contains(told, "panicked") {
				t.Errorf("%d: the log is %s", code, told)
			}
			if n := r.counted(t, "keelson_edge_requests_total", "code", "UNKNOWN"); n != 6 {
				t.Errorf("%d: %v requests are counted, want 6", code, n)
			}
		}
	}
}
