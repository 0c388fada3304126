package rest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/keelson-dev/keelson/edge/internal/rest"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// pausing is an upload in a bubble of time, to a service that reads.
type pausing struct {
	body *io.PipeWriter
	gone context.CancelFunc // the client goes
	w    *httptest.ResponseRecorder
	done chan struct{}
}

// pause begins an upload that may pause for a minute.
func pause(t *testing.T, service protoreflect.ServiceDescriptor, path string, serve http.Handler) *pausing {
	t.Helper()
	rt, err := rest.New(rest.Config{Services: []protoreflect.ServiceDescriptor{service}, Handler: serve, Idle: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	in, out := io.Pipe()
	ctx, gone := context.WithCancel(t.Context())
	p := &pausing{out, gone, httptest.NewRecorder(), make(chan struct{})}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, in)
	r.Header.Set("Content-Type", ndjson)
	go func() { defer close(p.done); rt.ServeHTTP(p.w, r) }()
	return p
}

// endsWithin tells whether the answer comes within a time.
func (p *pausing) endsWithin(d time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(d):
		return false
	}
}

// receiving serves an upload whose messages are of no interest.
func receiving(t *testing.T) http.Handler {
	t.Helper()
	g := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		for {
			if err := ss.RecvMsg(&emptypb.Empty{}); err != nil {
				return err
			}
		}
	}))
	t.Cleanup(g.Stop)
	return g
}

func TestAnUploadMayPauseForAWhile(t *testing.T) {
	t.Run("and is ended after it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := pause(t, libraryService(t), "/v1/shelves:import", receiving(t))
			for range 3 {
				if p.endsWithin(50 * time.Second) {
					t.Fatalf("it was ended early: %s", p.w.Body)
				}
				_, _ = io.WriteString(p.body, "{}\n") // the answer tells
			}
			if p.endsWithin(59 * time.Second) {
				t.Fatalf("it was ended early: %s", p.w.Body)
			}
			if !p.endsWithin(10 * time.Second) { // the rest of the body is waited for
				t.Fatal("it was not ended")
			}
			if text := p.w.Body.String(); p.w.Code != http.StatusRequestTimeout || !strings.Contains(text, "1m0s") || !strings.Contains(text, "REQUEST_TIMEOUT") {
				t.Errorf("%d %s", p.w.Code, text)
			}
		})
	})
	t.Run("but as long as its method says", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := pause(t, userv1.File_user_v1_user_proto.Services().ByName("UserService"), "/v1/users:import", receiving(t))
			if p.endsWithin(time.Hour) {
				t.Errorf("it was ended: %s", p.w.Body)
			}
			_ = p.body.Close() // which never fails
			<-p.done
		})
	})
	t.Run("and a service that is slow is no pause", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := pause(t, libraryService(t), "/v1/shelves:import", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				<-r.Context().Done() // and reads nothing
			}))
			go func() { _, _ = io.WriteString(p.body, "{}\n") }() // it is taken
			if p.endsWithin(time.Hour) {
				t.Errorf("it was ended: %s", p.w.Body)
			}
			p.gone()
			_ = p.body.CloseWithError(context.Canceled) // which never fails
			<-p.done
		})
	})
}
