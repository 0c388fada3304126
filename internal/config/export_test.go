package config

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// AwaitHangup keeps SIGHUP from ending the process until the test ends.
func AwaitHangup(t *testing.T) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(c) })
}
