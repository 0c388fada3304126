package consultest

import "syscall"

// diesWithParent makes the server end when the program that started it is killed.
func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
