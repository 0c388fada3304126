package internal

import (
	"strconv"
	"strings"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// etagOf is the strong entity tag of a user (AIP-154, RFC 9110): its UID and
// version, which together change with every change and with nothing else.
func etagOf(u *repository.User) string {
	b := make([]byte, 0, 48)
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(u.UID, "-", "")...)
	b = append(b, '-')
	b = strconv.AppendInt(b, u.Version, 36)
	return string(append(b, '"'))
}

// matchETag returns a condition for a write: nil when the caller gave no etag,
// otherwise whether the stored user still has it.
func matchETag(etag string) func(*repository.User) bool {
	if etag == "" {
		return nil
	}
	return func(u *repository.User) bool { return etagOf(u) == etag }
}
