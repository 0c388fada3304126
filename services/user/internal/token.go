package internal

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// errToken says that a token was not made by this service, or was changed.
var errToken = errors.New("token is not one of this service")

// The kinds of tokens, with their version: a token of another kind or version
// does not open.
const (
	tokenPage     = 0x11
	tokenRevision = 0x21
)

// tokenSum is the length of the checksum in bytes. It keeps garbage and tokens
// edited by hand out; it is no signature, for tokens carry no authority: who
// may make a request may make it with any position.
const tokenSum = 6

// seal makes an opaque, URL-safe token of a payload.
func seal(kind byte, payload []byte) string {
	raw := append([]byte{kind}, payload...)
	sum := sha256.Sum256(raw)
	return base64.RawURLEncoding.EncodeToString(append(raw, sum[:tokenSum]...))
}

// open returns the payload of a token made by seal.
func open(kind byte, token string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < 1+tokenSum || raw[0] != kind {
		return nil, errToken
	}
	body := raw[:len(raw)-tokenSum]
	sum := sha256.Sum256(body)
	if !bytes.Equal(sum[:tokenSum], raw[len(body):]) {
		return nil, errToken
	}
	return body[1:], nil
}

// appendText and cutText write and read one string of a payload.
func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func cutText(b []byte) (s string, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return "", nil, errToken
	}
	return string(b[size : size+int(n)]), b[size+int(n):], nil
}

// epochDigest is what tokens carry of the store's epoch, so that a token made
// on another database is recognised.
func epochDigest(epoch string) [8]byte {
	sum := sha256.Sum256([]byte(epoch))
	return [8]byte(sum[:8])
}

// sealRevision makes the token of a revision of the change stream.
func sealRevision(epoch [8]byte, revision int64) string {
	return seal(tokenRevision, binary.AppendUvarint(epoch[:], uint64(revision)))
}

// openRevision returns the epoch and the revision of a token.
func openRevision(token string) (epoch [8]byte, revision int64, err error) {
	b, err := open(tokenRevision, token)
	if err != nil {
		return epoch, 0, err
	}
	if len(b) < len(epoch) {
		return epoch, 0, errToken
	}
	copy(epoch[:], b)
	r, n := binary.Uvarint(b[len(epoch):])
	if n <= 0 || n != len(b)-len(epoch) || r > 1<<62 {
		return epoch, 0, errToken
	}
	return epoch, int64(r), nil
}
