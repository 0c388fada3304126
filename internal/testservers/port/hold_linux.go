package port

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
)

// Hold finds a port and holds it. Release it when the program that needs it has
// ended for good.
func Hold() (*Held, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	number, err := bind(fd)
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", errors.Join(err, syscall.Close(fd)))
	}
	return &Held{Number: number, release: sync.OnceFunc(func() { _ = syscall.Close(fd) })}, nil
}

func bind(fd int) (int, error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	address, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return 0, syscall.EAFNOSUPPORT
	}
	return address.Port, nil
}
