package up

import "syscall"

// attributes puts a process into a group of its own, and ties its life to that
// of the thread that starts it: see spawner.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
