//go:build !linux

package consultest

import "syscall"

// diesWithParent does nothing special here: a killed program that started it leaves the
// server running.
func diesWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
