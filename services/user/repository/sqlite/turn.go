package sqlite

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// turn lets processes that write to the same file see each other wait.
// SQLite's lock is free for all: a process that writes without pause takes it
// again before one that waits looks again. So who waits holds a shared lock
// on a file of its own, and who has written lets others go first when it
// finds that file locked. It is a courtesy, not a guard: errors are ignored.
type turn struct {
	path       string
	wait, look *os.File
}

// waiting shows that this process waits.
func (t *turn) waiting() {
	if t.open() {
		_ = unix.Flock(int(t.wait.Fd()), unix.LOCK_SH)
	}
}

// served ends waiting.
func (t *turn) served() {
	if t.wait != nil {
		_ = unix.Flock(int(t.wait.Fd()), unix.LOCK_UN)
	}
}

// contended reports whether another process waits.
func (t *turn) contended() bool {
	if !t.open() {
		return false
	}
	if err := unix.Flock(int(t.look.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.Is(err, unix.EWOULDBLOCK)
	}
	_ = unix.Flock(int(t.look.Fd()), unix.LOCK_UN)
	return false
}

// open opens the file twice: locks belong to what was opened.
func (t *turn) open() bool {
	for _, f := range []**os.File{&t.wait, &t.look} {
		if *f != nil {
			continue
		}
		var err error
		if *f, err = os.OpenFile(t.path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
			*f = nil
			return false
		}
	}
	return true
}

func (t *turn) close() {
	for _, f := range []*os.File{t.wait, t.look} {
		if f != nil {
			_ = f.Close()
		}
	}
	t.wait, t.look = nil, nil
}
