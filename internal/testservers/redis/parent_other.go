//go:build !linux

package redistest

import "syscall"

// diesWithParent does nothing special here: a killed test binary leaves the
// server running.
func diesWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
