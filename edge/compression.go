package edge

import (
	"compress/gzip"
	"io"

	"connectrpc.com/connect"

	"github.com/keelson-dev/keelson/errs"
)

func newCompressor() connect.Compressor { return gzip.NewWriter(io.Discard) }

// newDecompressor makes what the transcoder decompresses with, which otherwise would
// fill the memory with as much as a few bytes can be made to stand for.
func (e *Edge) newDecompressor() connect.Decompressor {
	return &boundedGzip{limit: e.maxMessage, domain: e.domain}
}

// boundedGzip refuses what is larger than a limit when it is decompressed.
type boundedGzip struct {
	gzip.Reader
	limit, left int64
	domain      string
}

// Reset implements connect.Decompressor.
func (b *boundedGzip) Reset(r io.Reader) error {
	b.left = b.limit
	return b.Reader.Reset(r)
}

// Read implements io.Reader.
func (b *boundedGzip) Read(p []byte) (int, error) {
	if b.left <= 0 {
		if n, err := b.Reader.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, connectErrorFrom(tooLarge(b.limit), b.domain)
	}
	n, err := b.Reader.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func tooLarge(limit int64) *errs.Error {
	return errs.ResourceExhausted(ReasonRequestTooLarge, "the request is larger than the %d bytes that this service takes; send less, or use a stream", limit)
}
