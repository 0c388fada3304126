package port_test

import (
	"net"
	"runtime"
	"testing"

	"github.com/keelson-dev/keelson/internal/testservers/port"
)

func TestAHeldPortIsForListenersOneAfterTheOther(t *testing.T) {
	address := port.Free(t)
	for range 3 {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheSystemGivesAHeldPortToNobody(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ports are held on Linux only")
	}
	held := map[string]bool{}
	for range 2000 {
		h, err := port.Hold()
		if err != nil {
			t.Fatal(err)
		}
		defer h.Release()
		if held[h.Address()] {
			t.Fatalf("%s was given twice", h.Address())
		}
		held[h.Address()] = true
	}
	for range 2000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if held[l.Addr().String()] {
			t.Errorf("%s is held and was given to a listener", l.Addr())
		}
		_ = l.Close()
	}
}
