package redistest

import "syscall"

// diesWithParent makes the server end when the test binary is killed.
func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
