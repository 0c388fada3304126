package logs_test

import (
	"testing"

	"google.golang.org/grpc/grpclog"

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
