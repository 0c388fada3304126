package edge

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// gzipWriter compresses an answer that is worth it: text of some size, for a client
// that takes it. Event streams and lines that come one by one are passed on as they
// are.
type gzipWriter struct {
	*exchange
	code    int
	held    bytes.Buffer // the beginning, until it is decided
	decided bool
	zip     *gzip.Writer // nil: as it is
}

// gzipWriters are used again: each holds 800 KB.
var gzipWriters = sync.Pool{New: func() any { w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed); return w }}

// compressed returns a writer that compresses for clients that take it, and what
// completes its answer.
func (x *exchange) compressed() (w http.ResponseWriter, finish func()) {
	above := x.edge.cfg.GzipAbove
	if above < 0 {
		return x, func() {}
	}
	addVary(x.Header(), "Accept-Encoding") // a HEAD has the header of its GET (RFC 9110, 9.3.2)
	if x.r.Method == http.MethodHead || !takesGzip(x.r.Header["Accept-Encoding"]) {
		return x, func() {}
	}
	g := &gzipWriter{exchange: x}
	return g, g.finish
}

func addVary(h http.Header, name string) {
	h["Vary"] = append(h["Vary"][:len(h["Vary"]):len(h["Vary"])], name)
}

// takesGzip reads Accept-Encoding (RFC 9110, section 12.5.3): gzip must be named,
// and not with a weight of zero.
func takesGzip(accept []string) bool {
	for _, list := range accept {
		for list != "" {
			var entry string
			entry, list, _ = strings.Cut(list, ",")
			name, parameter, _ := strings.Cut(entry, ";")
			if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
				continue
			}
			q, weighted := strings.CutPrefix(strings.ReplaceAll(parameter, " ", ""), "q=")
			weight, err := strconv.ParseFloat(q, 64)
			return !weighted || err == nil && weight > 0
		}
	}
	return false
}

// Unwrap implements what [http.ResponseController] looks for.
func (g *gzipWriter) Unwrap() http.ResponseWriter { return g.exchange }

// WriteHeader implements http.ResponseWriter. The header waits until it is known
// how large the answer is.
func (g *gzipWriter) WriteHeader(code int) {
	if code < http.StatusOK {
		g.exchange.WriteHeader(code)
		return
	}
	if g.code != 0 {
		return
	}
	g.code = code
	h := g.Header()
	size, err := strconv.Atoi(h.Get("Content-Length"))
	switch {
	case !worth(code, h), err == nil && size < int(g.edge.cfg.GzipAbove):
		g.decide(false)
	case err == nil:
		g.decide(true)
	}
}

// worth tells whether an answer can be made smaller, whatever its size.
func worth(code int, h http.Header) bool {
	if code != http.StatusOK && code < http.StatusBadRequest && code != http.StatusCreated || h["Content-Encoding"] != nil || h["Content-Range"] != nil {
		return false
	}
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch media = strings.TrimSpace(media); media {
	case "application/json", "application/problem+json", "application/javascript", "application/manifest+json", "image/svg+xml", "application/wasm", "application/yaml":
		return true
	case "text/event-stream", typeLines:
		return false
	}
	return strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+json")
}

func (g *gzipWriter) decide(compress bool) {
	if g.decided {
		return
	}
	g.decided = true
	h := g.Header()
	if compress {
		h.Del("Content-Length")
		h.Set("Content-Encoding", "gzip")
		g.zip, _ = gzipWriters.Get().(*gzip.Writer)
		g.zip.Reset(g.exchange)
	}
	g.exchange.WriteHeader(g.code)
	if g.held.Len() > 0 {
		_, _ = g.pass(g.held.Bytes()) // the client went away: what comes next sees it
		g.held = bytes.Buffer{}
	}
}

func (g *gzipWriter) pass(p []byte) (int, error) {
	if g.zip != nil {
		return g.zip.Write(p)
	}
	return g.exchange.Write(p)
}

// Write implements http.ResponseWriter.
func (g *gzipWriter) Write(p []byte) (int, error) {
	if g.code == 0 {
		if g.Header()["Content-Type"] == nil { // net/http would look at what is compressed
			g.Header().Set("Content-Type", http.DetectContentType(p))
		}
		g.WriteHeader(http.StatusOK)
	}
	if g.decided {
		return g.pass(p)
	}
	g.held.Write(p)
	if g.held.Len() >= int(g.edge.cfg.GzipAbove) {
		g.decide(true)
	}
	return len(p), nil
}

// Flush implements http.Flusher.
func (g *gzipWriter) Flush() { _ = g.FlushError() }

// FlushError implements what [http.ResponseController] looks for. What is flushed
// before it is large is passed on as it is.
func (g *gzipWriter) FlushError() error {
	if g.code == 0 {
		g.WriteHeader(http.StatusOK)
	}
	g.decide(false)
	if g.zip != nil {
		if err := g.zip.Flush(); err != nil {
			return err
		}
	}
	return g.exchange.FlushError()
}

// finish completes the answer.
func (g *gzipWriter) finish() {
	if g.code == 0 {
		return // nobody answered
	}
	if !g.decided {
		g.Header().Set("Content-Length", strconv.Itoa(g.held.Len()))
		g.decide(false)
	}
	if g.zip != nil {
		_ = g.zip.Close() // the client went away
		g.zip.Reset(io.Discard)
		gzipWriters.Put(g.zip)
	}
}
