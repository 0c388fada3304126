package call

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"math/rand/v2"
)

// CorrelationKey is the metadata key of the correlation ID, inbound, outbound
// and in trailers.
const CorrelationKey = "x-correlation-id"

// MaxCorrelationID is the longest correlation ID that is taken from a caller,
// in bytes.
const MaxCorrelationID = 64

var correlationEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewCorrelationID returns a new ID: 26 characters of base 32 over 128 random
// bits. It is unique, not secret. One allocation.
func NewCorrelationID() string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], rand.Uint64())
	binary.BigEndian.PutUint64(raw[8:], rand.Uint64())
	var text [26]byte
	correlationEncoding.Encode(text[:], raw[:])
	return string(text[:])
}

// ValidCorrelationID tells whether an ID from a caller is taken: 1 to
// [MaxCorrelationID] letters, digits and any of ._:/+=- and nothing that could
// forge a log line or a header.
func ValidCorrelationID(id string) bool {
	if len(id) == 0 || len(id) > MaxCorrelationID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '.', c == '_', c == ':', c == '/', c == '+', c == '=', c == '-':
		default:
			return false
		}
	}
	return true
}

// CorrelationID returns the correlation ID of the call in a context, or "".
func CorrelationID(ctx context.Context) string {
	if c := From(ctx); c != nil {
		return c.CorrelationID
	}
	return ""
}
