package rest

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
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
		return nil, x.tooLarge(limit, true)
	}
	raw, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, x.unreadable(err)
	}
	if int64(len(raw)) > limit {
		return nil, x.tooLarge(limit, false)
	}
	return raw, nil
}

// tooLarge is the fault of a body with more bytes than the limit: as it was sent,
// or decompressed.
func (x *exchange) tooLarge(limit int64, sent bool) *fault {
	switch {
	case x.r.Header["Content-Encoding"] == nil:
		return tooLarge(limit, "the body has more than %d bytes, the limit before and after decompression; send less at once")
	case sent:
		return tooLarge(limit, "the body has more than %d bytes before decompression, the limit before and after it; send less at once")
	}
	return tooLarge(limit, "the body has more than %d bytes after decompression, the limit before and after it; send less at once")
}

func tooLarge(limit int64, format string) *fault {
	err := errs.ResourceExhausted(ReasonRequestTooLarge, format, limit).With(errs.Meta("max_bytes", strconv.FormatInt(limit, 10)))
	return &fault{http: http.StatusRequestEntityTooLarge, err: err}
}

// unreadable is the fault of a body that could not be read.
func (x *exchange) unreadable(err error) *fault {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return x.tooLarge(large.Limit, true)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &fault{
			http: http.StatusRequestTimeout,
			err:  errs.DeadlineExceeded(ReasonRequestTimeout, "the body did not come in time; send it without pauses, or less at once (the operator sets edge.read_timeout)"),
		}
	case errors.Is(err, errGzip):
		return wrong(errs.InvalidArgument(errs.ReasonInvalidRequest, "the body is no gzip, as Content-Encoding says it is, or was cut off; send it whole, or as it is without Content-Encoding"))
	}
	return wrong(errs.InvalidArgument(ReasonUploadBroken, "the body broke off before its end, as Content-Length or the last chunk tells it; send it whole").With(errs.Cause(err)))
}

// noBody refuses a body where the rule has none: what is in it would be lost.
func (x *exchange) noBody() *fault {
	if x.r.Body == nil || x.r.ContentLength == 0 || x.r.Body == http.NoBody {
		return nil
	}
	var one [1]byte
	n, err := io.ReadFull(x.r.Body, one[:])
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return nil
	case n == 0: // what was said to come may be more than this end knows of
		return x.unreadable(err)
	}
	return wrong(errs.InvalidArgument(errs.ReasonInvalidRequest, "%s takes no body; give fields as query parameters", x.route))
}

// checkType refuses a body that is of none of the types, and tells them in Accept
// (RFC 9110, 12.5.1). Whoever does not say what they send sends the first.
func (x *exchange) checkType(types ...string) *fault {
	f := x.typed(types)
	if f != nil {
		f.header = http.Header{"Accept": {strings.Join(types, ", ")}}
	}
	return f
}

func (x *exchange) typed(types []string) *fault {
	said := x.r.Header.Get("Content-Type")
	if said == "" || x.r.ContentLength == 0 { // an empty body is of every type: curl -d ''
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
	return unsupportedType("the body's Content-Type is %s, which is not read; set it to %s", quoted(have), strings.Join(types, " or "))
}
