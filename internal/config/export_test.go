package config

import (
	"os"
	"os/signal"
	"syscall"
)

// AwaitHangup keeps SIGHUP from ending the process from now on. It is never
// undone: a signal that a test sent to its own process may arrive after the test.
func AwaitHangup() { signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) }
