package logs_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/telemetry/logs"
)

func TestGRPCsLogGoesToOurs(t *testing.T) {
	l, close := newLog(t, logs.Config{})
	logs.RouteGRPC(l.Logger())
	component := grpclog.Component("core")
	component.Info("too much detail")
	component.Warningf("lost %d", 1)
	grpclog.Errorln("broken", 2)
	if grpclog.V(2) {
		t.Error("verbose lines are made though nobody reads them")
	}
	lines := close()
	var got []string
	for _, m := range lines {
		got = append(got, m["log.level"].(string)+" "+m["message"].(string)+" "+m["log.logger"].(string))
	}
	if len(got) != 2 || got[0] != "warn [core] lost 1 grpc" && got[0] != "warn [core]lost 1 grpc" || got[1] != "warn broken 2 grpc" {
		t.Errorf("got %q", got)
	}
}

// A client that goes away is no news: gRPC's own words for it are taken from gRPC
// itself, so that this fails when they change.
func TestAClientThatGoesAwayIsNoWarning(t *testing.T) {
	l, close := newLog(t, logs.Config{Level: slog.LevelDebug})
	logs.RouteGRPC(l.Logger())
	ctx, leave := context.WithCancel(t.Context())
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		leave()
		for ss.SendMsg(&emptypb.Empty{}) == nil { // until the transport is closed
		}
		return errs.Internal("X", "nobody hears it")
	}))
	defer server.Stop()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/a.B/C", http.NoBody)
	r.ProtoMajor, r.ProtoMinor = 2, 0
	r.Header.Set("Content-Type", "application/grpc")
	server.ServeHTTP(httptest.NewRecorder(), r)
	server.GracefulStop() // waits for the handler
	grpclog.Component("core").Warning(`grpc: Server.processRPC failed to write status: transport: trying to send header list size larger than the limit set by peer`)
	found := map[string]string{}
	for _, m := range close() {
		if text := m["message"].(string); strings.Contains(text, "failed to write status") {
			found[m["log.level"].(string)] = text
		}
	}
	if !strings.Contains(found["debug"], "transport is closing") || !strings.Contains(found["warn"], "header list size") {
		t.Errorf("got %q", found)
	}
}
