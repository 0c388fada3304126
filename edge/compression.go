package edge

import (
	"compress/gzip"
	"errors"
	"io"
	"strconv"

	"connectrpc.com/connect"

	"github.com/keelson-dev/keelson/errs"
)

func newCompressor() connect.Compressor { return gzip.NewWriter(io.Discard) }

// newDecompressor makes what the transcoder decompresses with, which otherwise would
// fill the memory with as much as a few bytes can be made to stand for.
func (e *Edge) newDecompressor() connect.Decompressor {
	return &boundedGzip{limit: e.maxMessage}
}

// boundedGzip refuses what is larger than a limit when it is decompressed, and what
// is not compressed at all. It panics then, see undecodable.
type boundedGzip struct {
	gzip.Reader
	limit, left int64
}

// Reset implements connect.Decompressor.
func (b *boundedGzip) Reset(r io.Reader) error {
	b.left = b.limit
	if err := b.Reader.Reset(r); err != nil {
		panic(undecodable{notGzip(err)})
	}
	return nil
}

// Read implements io.Reader.
func (b *boundedGzip) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.left -= int64(n)
	switch {
	case b.left < 0:
		panic(undecodable{tooLarge(b.limit, "the larger of edge.max_body and grpc.max_send, after decompression")})
	case err != nil && !errors.Is(err, io.EOF):
		panic(undecodable{notGzip(err)})
	}
	return n, err //nolint:wrapcheck // io.EOF is what readers look for
}

func notGzip(err error) *errs.Error {
	return malformed("a message is said to be compressed with gzip, and cannot be decompressed: %v", err)
}

// tooLarge is the error for a message with more bytes than a limit, and what sets it.
func tooLarge(limit int64, set string) *errs.Error {
	return errs.ResourceExhausted(ReasonRequestTooLarge, "a message is larger than the %d bytes that are taken (%s); send less at once, or use a stream", limit, set).
		With(errs.Meta("max_bytes", strconv.FormatInt(limit, 10)))
}
