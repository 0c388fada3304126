package rest

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/keelson-dev/keelson/errs"
)

// bodyOf returns the request body, decompressed. Its end is checked by whoever
// reads it.
func (x *exchange) bodyOf() (io.Reader, *fault) {
	switch encoding := strings.ToLower(strings.TrimSpace(strings.Join(x.r.Header["Content-Encoding"], ","))); encoding {
	case "", "identity":
		return x.r.Body, nil
	case "gzip", "x-gzip":
		return &gunzip{from: x.r.Body}, nil
	default:
		f := unsupportedType("the body is encoded as %s, which is not read; send it plain or as gzip", quoted(encoding))
		f.header = http.Header{"Accept-Encoding": {"gzip, identity"}}
		return nil, f
	}
}

func unsupportedType(format string, args ...any) *fault {
	return &fault{http: http.StatusUnsupportedMediaType, err: errs.InvalidArgument(ReasonUnsupportedMediaType, format, args...)}
}

// gunzip decompresses what it reads, beginning with the first read: a gzip
// reader reads when it is made, and a stream may have nothing yet.
type gunzip struct {
	from io.Reader
	zip  *gzip.Reader
}

var errGzip = errors.New("the body is no gzip")

// Read implements io.Reader.
func (g *gunzip) Read(p []byte) (int, error) {
	if g.zip == nil {
		zip, err := gzip.NewReader(g.from)
		if errors.Is(err, io.EOF) {
			return 0, io.EOF // an empty body
		}
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errGzip, err)
		}
		g.zip = zip
	}
	n, err := g.zip.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errGzip, err)
	}
	return n, err
}

// readAll reads a whole body, at most MaxRequest bytes.
func (x *exchange) readAll() ([]byte, *fault) {
	body, f := x.bodyOf()
	if f != nil {
		return nil, f
	}
	limit := x.rt.config.MaxRequest
	if x.r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	raw, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, unreadable(err)
	}
	if int64(len(raw)) > limit {
		return nil, tooLarge(limit)
	}
	return raw, nil
}

func tooLarge(limit int64) *fault {
	return &fault{
		http: http.StatusRequestEntityTooLarge,
		err:  errs.ResourceExhausted(ReasonRequestTooLarge, "the body has more than %d bytes after decompression; send less at once", limit),
	}
}

// unreadable is the fault of a body that could not be read.
func unreadable(err error) *fault {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return tooLarge(large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &fault{http: http.StatusRequestTimeout, err: errs.DeadlineExceeded(ReasonUploadBroken, "the body came too slowly")}
	case errors.Is(err, errGzip):
		return wrong(errs.InvalidArgument(errs.ReasonInvalidRequest, "the body is no gzip, as Content-Encoding says it is, or was cut off"))
	}
	return wrong(errs.InvalidArgument(ReasonUploadBroken, "the body could not be read to its end").With(errs.Cause(err)))
}

// noBody refuses a body where the rule has none: what is in it would be lost.
func (x *exchange) noBody() *fault {
	if x.r.Body == nil || x.r.ContentLength == 0 || x.r.Body == http.NoBody {
		return nil
	}
	var one [1]byte
	n, err := io.ReadFull(x.r.Body, one[:])
	if n == 0 || err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	return wrong(errs.InvalidArgument(errs.ReasonInvalidRequest, "%s takes no body; give fields as query parameters", x.route))
}

// checkType refuses a body that is of none of the types. Whoever does not say
// what they send sends the first.
func (x *exchange) checkType(types ...string) *fault {
	said := x.r.Header.Get("Content-Type")
	if said == "" {
		return nil
	}
	have, params, err := mime.ParseMediaType(said)
	if err != nil {
		return unsupportedType("Content-Type %s does not parse; send %s", quoted(said), types[0])
	}
	if cs := strings.ToLower(params["charset"]); cs != "" && cs != "utf-8" && cs != "utf8" && cs != "us-ascii" {
		return unsupportedType("the charset %s is not read; send UTF-8", quoted(cs))
	}
	for _, t := range types {
		if have == t || t == typeJSON && strings.HasPrefix(have, "application/") && strings.HasSuffix(have, "+json") {
			return nil
		}
	}
	return unsupportedType("the body is %s; send %s", quoted(have), strings.Join(types, " or "))
}
