package redistest_test

import (
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	redistest "github.com/keelson-dev/keelson/internal/testservers/redis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAServerKeepsItsAddressOverAKill(t *testing.T) {
	s := redistest.Start(t)
	reachable := func() bool {
		c, err := net.DialTimeout("tcp", s.Address, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	if !reachable() {
		t.Error("it cannot be reached")
	}
	s.Kill(t)
	if reachable() {
		t.Error("it can be reached although it was killed")
	}
	s.Restart(t)
	if !reachable() {
		t.Error("it cannot be reached again")
	}
}
