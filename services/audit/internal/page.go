package internal

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

// pageSum is the length of a page token's checksum in bytes.
const pageSum = 8

// sealPage makes the token of the page after a position: the position, and a
// checksum over it and the rest of the query. The sum binds the token to the
// query and keeps garbage out; it is no signature, for a token carries no
// authority: who may list may list from any position.
func sealPage(q repository.Query, position int64) string {
	raw := binary.AppendUvarint(nil, uint64(position))
	return base64.RawURLEncoding.EncodeToString(append(raw, pageDigest(q, raw)...))
}

// openPage sets the position in a page token, if there is one.
func openPage(q *repository.Query, token string, v *violations) {
	if token == "" {
		return
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err == nil && len(raw) >= pageSum {
		position, n := binary.Uvarint(raw[:len(raw)-pageSum])
		sum := raw[len(raw)-pageSum:]
		if raw = raw[:len(raw)-pageSum]; n == len(raw) && position > 0 && position <= 1<<62 && bytes.Equal(sum, pageDigest(*q, raw)) {
			q.After = int64(position)
			return
		}
	}
	v.add("page_token", "is not a token of this list; pass next_page_token unchanged, with the same user, start_time, end_time and order_by, or nothing for the first page")
}

func pageDigest(q repository.Query, position []byte) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%x %q %d %d %t", position, q.UserID, q.From.UnixMicro(), q.To.UnixMicro(), q.Desc))
	return sum[:pageSum]
}
