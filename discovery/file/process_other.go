//go:build !linux

package file

import (
	"errors"
	"os"
	"syscall"
)

// startOf knows nothing portable.
func startOf(int) (string, error) { return "", nil }

// scope is the host.
func scope() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// ended reports whether a process of this scope is certainly over. A reused PID is taken for the process.
func ended(p process) bool {
	proc, err := os.FindProcess(p.PID)
	if err != nil {
		return true
	}
	err = proc.Signal(syscall.Signal(0))
	return errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH)
}
