//go:build unix

package discovery

import (
	"io/fs"
	"os"
	"syscall"
)

// foreign reports whether a file belongs to a user other than this process's and the superuser.
func foreign(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Uid != 0 && int(s.Uid) != os.Geteuid()
}
