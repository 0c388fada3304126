package edge

import (
	"compress/gzip"
	"errors"
	"io"

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
		panic(undecodable{tooLarge(b.limit)})
	case err != nil && !errors.Is(err, io.EOF):
		panic(undecodable{notGzip(err)})
	}
	return n, err //nolint:wrapcheck // io.EOF is what readers look for
}

func notGzip(err error) *errs.Error {
	return malformed("a message is said to be compressed with gzip, and cannot be decompressed: %v", err)
}

func tooLarge(limit int64) *errs.Error {
	return errs.ResourceExhausted(ReasonRequestTooLarge, "the request is larger than the %d bytes that this service takes; send less, or use a stream", limit)
}
