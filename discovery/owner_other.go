//go:build !unix

package discovery

import "io/fs"

// foreign cannot be told here; the directory is in the user's own profile.
func foreign(fs.FileInfo) bool { return false }
