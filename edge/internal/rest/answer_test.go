package rest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/keelson-dev/keelson/edge/internal/rest"
	"github.com/keelson-dev/keelson/errs"
)

func TestAnswersAreJSON(t *testing.T) {
	s := newServer(t)
	s.answer("GetShelf", `{"name":"shelves/a","displayName":"é","count":"9007199254740993","labels":{"b":"2","a":"1"}}`, nil)
	s.answer("ListNames", `{"names":["a","b"],"next":"c"}`, nil)
	for _, c := range []struct{ path, body string }{
		{"/v1/shelves/a", `{"name":"shelves/a","displayName":"é","labels":{"a":"1","b":"2"},"count":"9007199254740993"}`},
		{"/v1/names", `["a","b"]`},
	} {
		r := s.do("GET", c.path, "")
		if r.StatusCode != http.StatusOK || r.body != c.body || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s %s", c.path, r.StatusCode, r.Header.Get("Content-Type"), r.body)
		}
		if h := s.do("HEAD", c.path, ""); h.body != "" || h.StatusCode != http.StatusOK || h.Header.Get("Content-Length") != r.Header.Get("Content-Length") {
			t.Errorf("HEAD %s: %d %q", c.path, h.StatusCode, h.body)
		}
	}
	s.answer("ListNames", `{}`, nil)
	if r := s.do("GET", "/v1/names", ""); r.body != "[]" {
		t.Errorf("an empty list: %s", r.body)
	}
}

func TestAnyOfUnknownTypeIsNeitherLostNorAnError(t *testing.T) {
	s := newServer(t)
	st := status.FromProto(&spb.Status{Code: int32(codes.NotFound), Message: "gone", Details: []*anypb.Any{
		{TypeUrl: "type.example.com/never.seen.Type", Value: []byte{1, 2, 255}},
		{TypeUrl: "type.googleapis.com/google.rpc.ErrorInfo", Value: []byte{255}}, // does not parse
		{TypeUrl: "type.googleapis.com/library.v1.Place", Value: []byte("\n\x01x")},
		{TypeUrl: "", Value: []byte{1}},
	}})
	s.answer("GetShelf", "", st.Err())
	r := s.do("GET", "/v1/shelves/a", "")
	want := `{"code":5,"message":"gone","details":[{"@type":"type.example.com/never.seen.Type","value":"AQL/"},` +
		`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","value":"/w=="},{"@type":"type.googleapis.com/library.v1.Place","street":"x"},{"@type":"unknown","value":"AQ=="}]}`
	if r.StatusCode != http.StatusNotFound || r.body != want {
		t.Errorf("%d %s\nwant %s", r.StatusCode, r.body, want)
	}
	p := s.do("GET", "/v1/shelves/a", "", "Accept", "application/problem+json")
	if p.StatusCode != http.StatusNotFound || !strings.Contains(p.body, `"value":"AQL/"`) {
		t.Errorf("%d %s", p.StatusCode, p.body)
	}
	s.on("GetShelf", func(ss *serverStream) error { // an answer with one, in a message within
		shelf := dynamicpb.NewMessage(ss.method.Output())
		extra := shelf.Mutable(shelf.Descriptor().Fields().ByName("extra")).Message()
		extra.Set(extra.Descriptor().Fields().ByName("type_url"), protoreflect.ValueOfString("x/never.seen.Type"))
		extra.Set(extra.Descriptor().Fields().ByName("value"), protoreflect.ValueOfBytes([]byte{1}))
		return ss.SendMsg(shelf)
	})
	if r := s.do("GET", "/v1/shelves/a", ""); r.StatusCode != http.StatusOK || r.body != `{"extra":{"@type":"x/never.seen.Type","value":"AQ=="}}` {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

func TestWhatIsTooLargeIsNotToBeTriedAgain(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct {
		code   codes.Code
		reason string
		want   int
	}{
		{codes.ResourceExhausted, errs.ReasonRequestTooLarge, http.StatusRequestEntityTooLarge},
		{codes.ResourceExhausted, errs.ReasonResponseTooLarge, http.StatusInternalServerError}, // waiting does not help
		{codes.ResourceExhausted, errs.ReasonRateLimited, http.StatusTooManyRequests},
		{codes.InvalidArgument, errs.ReasonRequestTooLarge, http.StatusBadRequest}, // another meaning of its own
	} {
		s.answer("GetShelf", "", errs.Status(errs.New(c.code, c.reason, "said"), "d", "").Err())
		if r := s.do("GET", "/v1/shelves/a", ""); r.StatusCode != c.want || int(r.json(t)["code"].(float64)) != int(c.code) {
			t.Errorf("%s %s: %d %s, want %d", c.code, c.reason, r.StatusCode, r.body, c.want)
		}
	}
}

func TestErrorsHaveTheirCode(t *testing.T) {
	s := newServer(t)
	for code, want := range map[codes.Code]int{
		codes.Canceled: 499, codes.Unknown: 500, codes.InvalidArgument: 400, codes.DeadlineExceeded: 504, codes.NotFound: 404, codes.AlreadyExists: 409,
		codes.PermissionDenied: 403, codes.ResourceExhausted: 429, codes.FailedPrecondition: 400, codes.Aborted: 409, codes.OutOfRange: 400,
		codes.Unimplemented: 501, codes.Internal: 500, codes.Unavailable: 503, codes.DataLoss: 500, codes.Unauthenticated: 401, codes.Code(77): 500,
	} {
		s.answer("GetShelf", "", errs.Status(errs.New(code, "SOME_REASON", "said").With(errs.RetryAfter(1001*time.Millisecond), errs.Meta("k", "v")), "d", "").Err())
		if code == 77 {
			s.answer("GetShelf", "", status.Error(code, "said"))
		}
		r := s.do("GET", "/v1/shelves/a", "")
		if r.StatusCode != want || r.Header.Get("Content-Type") != "application/json" || r.json(t)["message"] != "said" {
			t.Errorf("%s: %d %s, want %d", code, r.StatusCode, r.body, want)
		}
		if r.Header.Get("Retry-After") != "2" && code != 77 {
			t.Errorf("Retry-After: %q", r.Header.Get("Retry-After"))
		}
		if got := r.Header.Get("Www-Authenticate"); (got != "") != (want == 401) {
			t.Errorf("%s: WWW-Authenticate %q", code, got)
		}
	}
}

func TestProblemDetailsAreGivenToWhoeverWantsThem(t *testing.T) {
	s := newServer(t)
	s.answer("CreateShelf", "", errs.Status(errs.InvalidArgument("BAD_SHELF", "the shelf is bad").With(
		errs.Meta("limit", "3"), errs.RetryAfter(1500*time.Millisecond),
		errs.Field("shelf.display_name", "TOO_LONG", "is too long"), errs.Field("shelf.places[2].floor_number", "", "is negative"),
		errs.Field(`shelf.labels["a/b~c"]`, "", "is bad"), errs.Field("shelf_id", "", "is taken"),
		errs.Resource("t", "n", "", "")), "library.example.com", "").Err())
	r := s.do("POST", "/v1/shelves", "{}", "Accept", "application/problem+json", "X-Correlation-Id", "abc-1")
	want := map[string]any{
		"type": "urn:keelson:error:library.example.com:BAD_SHELF", "title": "Bad Request", "status": 400.0, "detail": "the shelf is bad",
		"instance": "urn:keelson:correlation-id:abc-1", "code": "INVALID_ARGUMENT", "reason": "BAD_SHELF", "domain": "library.example.com",
		"metadata": map[string]any{"limit": "3"}, "retry_after": 1.5,
		"errors": []any{
			map[string]any{"detail": "is too long", "pointer": "#/displayName", "field": "shelf.display_name", "reason": "TOO_LONG"},
			map[string]any{"detail": "is negative", "pointer": "#/places/2/floorNumber", "field": "shelf.places[2].floor_number"},
			map[string]any{"detail": "is bad", "pointer": "#/labels/a~1b~0c", "field": `shelf.labels["a/b~c"]`},
			map[string]any{"detail": "is taken", "field": "shelf_id"},
		},
		"details": []any{map[string]any{"@type": "type.googleapis.com/google.rpc.ResourceInfo", "resourceType": "t", "resourceName": "n"}},
	}
	if diff := cmp.Diff(want, r.json(t)); diff != "" || r.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s", r.Header.Get("Content-Type"), diff)
	}
	for accept, problem := range map[string]bool{
		"*/*": false, "application/*": false, "": false, "application/json, application/problem+json": true,
		"application/json, application/problem+json;q=0.5": false, "application/problem+json;q=0.5, */*;q=0.1": true,
		"application/problem+json;q=0, */*": false, "text/html, application/PROBLEM+json": true, "application/problem+json;q=x": false,
	} {
		r := s.do("GET", "/v1/nothing", "", "Accept", accept)
		if got := r.Header.Get("Content-Type") == "application/problem+json"; got != problem || r.StatusCode != http.StatusNotFound {
			t.Errorf("Accept %q: %d %s", accept, r.StatusCode, r.Header.Get("Content-Type"))
		}
	}
}

func TestHeadersPassByAllowList(t *testing.T) {
	s := newServer(t, func(c *rest.Config) {
		c.RequestHeaders, c.ResponseHeaders = []string{"X-Tenant-*", "cookie", "Connection", "x-bin-bin"}, []string{"x-shelf-*"}
	})
	var md metadata.MD
	s.on("GetShelf", func(ss *serverStream) error {
		if _, err := ss.recv(); err != nil {
			return err
		}
		md, _ = metadata.FromIncomingContext(ss.Context())
		_ = grpc.SetHeader(ss.Context(), metadata.Pairs("x-shelf-a", "1", "x-other", "2", "set-cookie", "no"))
		grpc.SetTrailer(ss.Context(), metadata.Pairs("ratelimit", `"a";r=1`, "ratelimit-policy", `"a";q=9`, "retry-after", "7", "x-correlation-id", "from-server", "content-length", "3"))
		return ss.send("{}")
	})
	r := s.do("GET", "/v1/shelves/a", "", "Authorization", "Bearer x", "X-Api-Key", "k", "Traceparent", "00-x", "Accept-Language", "de", "User-Agent", "me",
		"X-Tenant-Id", "t", "Cookie", "c", "X-Other", "no", "Te", "trailers", "Grpc-Timeout", "1n", "Keep-Alive", "x", "X-Keelson-Internal", "no",
		"X-Correlation-Id", "mine", "X-Tenant-Name", "m\u00fcller", "X-Bin-Bin", "!!")
	for k, want := range map[string]string{
		"authorization": "Bearer x", "x-api-key": "k", "traceparent": "00-x", "accept-language": "de", "user-agent": "me", "x-tenant-id": "t",
		"cookie": "c", "x-correlation-id": "mine", "x-other": "", "keep-alive": "", "x-keelson-internal": "", "grpc-timeout": "", "x-tenant-name": "", "x-bin-bin": "",
	} {
		if got := strings.Join(md.Get(k), "|"); got != want {
			t.Errorf("metadata %s is %q, want %q", k, got, want)
		}
	}
	for k, want := range map[string]string{
		"X-Shelf-A": "1", "Ratelimit": `"a";r=1`, "Ratelimit-Policy": `"a";q=9`, "Retry-After": "7", "X-Other": "", "Set-Cookie": "",
		"X-Correlation-Id": "from-server", "Content-Length": "2",
	} {
		if got := r.Header.Get(k); got != want {
			t.Errorf("header %s is %q, want %q", k, got, want)
		}
	}
}

func TestTimeoutOfTheRequestHolds(t *testing.T) {
	s := newServer(t)
	s.on("GetShelf", func(ss *serverStream) error {
		<-ss.Context().Done()
		return status.FromContextError(ss.Context().Err()).Err()
	})
	if r := s.do("GET", "/v1/shelves/a", "", "X-Server-Timeout", "0.01"); r.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

func TestErrorAnswersForOthers(t *testing.T) {
	s := newServer(t)
	w := httptest.NewRecorder()
	s.router.Error(w, s.request("GET", "/", "", "Accept", "application/problem+json"), http.StatusRequestEntityTooLarge,
		errs.Status(errs.ResourceExhausted("TOO_LARGE", "too large"), "edge", ""))
	if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), `"reason":"TOO_LARGE"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
