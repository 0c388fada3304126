package call

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// hangupPoll is how often the wait for a hang-up looks whether it is over.
const hangupPoll = 250 // milliseconds

// awaitHangup waits until nobody reads a pipe any more, or the context ends. A
// stream that is silent would otherwise outlive its reader: writing is the only
// other way to learn it.
func awaitHangup(ctx context.Context, w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(f.Fd())}} //nolint:gosec // descriptors are small
	for ctx.Err() == nil {
		n, err := unix.Poll(fds, hangupPoll)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
		if n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
			return true
		}
	}
	return false
}
