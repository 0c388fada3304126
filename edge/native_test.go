package edge_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/errs"
)

func TestGRPCIsAnsweredAsByGRPCsOwnServer(t *testing.T) {
	r := start(t, edge.Config{H2C: true})
	for name, test := range map[string]struct {
		method, body    string
		header, trailer map[string][]string
	}{
		"a message": {"Echo", framed(t, "application/grpc", says("x")), nil,
			map[string][]string{"Grpc-Status": {"0"}, "X-Correlation-Id": {"mine"}}},
		"an error alone": {"Echo", framed(t, "application/grpc", fails(5, "gone")),
			map[string][]string{"Grpc-Status": {"5"}, "Grpc-Message": {"gone"}, "X-Correlation-Id": {"mine"}}, nil},
		"an error after a message": {"List", framed(t, "application/grpc", many(1, fails(5, "gone"))), nil,
			map[string][]string{"Grpc-Status": {"5"}, "Grpc-Message": {"gone"}, "X-Correlation-Id": {"mine"}}},
		"a method of nobody": {"Nothing", "", map[string][]string{"Grpc-Status": {"12"}, "X-Correlation-Id": {"mine"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url(r, "/%s/%s", echoService, test.method), strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, edge.CorrelationHeader: {"mine"}}
			resp, err := client(t, true).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if len(resp.Trailer) > 0 {
				t.Errorf("trailers are announced: %v", resp.Trailer)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
			names := []string{"Grpc-Status", "X-Correlation-Id"}
			if test.method != "Nothing" {
				names = append(names, "Grpc-Message")
			}
			status := headerOf(resp.Header, names...)
			if test.header == nil { // the correlation ID is in every header
				delete(status, "X-Correlation-Id")
			}
			if diff := cmp.Diff([]map[string][]string{test.header, test.trailer}, []map[string][]string{status, headerOf(resp.Trailer, names...)}, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("header and trailer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPathThatNamesNoMethodIsAnsweredInFull(t *testing.T) {
	r := start(t, edge.Config{H2C: true})
	conn := dial(t, r.Address())
	for _, path := range []string{"/x", "/"} {
		err := conn.Invoke(t.Context(), path, says("a"), &response{})
		if e := errs.From(err); e.Code() != codes.Unimplemented || e.Reason() != errs.ReasonMethodUnknown || e.RequestID() == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
}
