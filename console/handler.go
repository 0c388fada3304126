package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// policy is the Content-Security-Policy (W3C CSP level 3). Nothing is inline, so
// no hash and no nonce is needed.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// file is one file of the application, as it is answered.
type file struct {
	body        []byte
	contentType string
	etag        string
	immutable   bool
}

type handler struct {
	files map[string]file
}

// newHandler reads all of dist: a few files, small enough to be held.
func newHandler(dist fs.FS) http.Handler {
	h := &handler{files: make(map[string]file)}
	err := fs.WalkDir(dist, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(dist, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		h.files[name] = file{
			body:        body,
			contentType: typeOf(name),
			etag:        `"` + hex.EncodeToString(sum[:16]) + `"`,
			immutable:   strings.HasPrefix(name, "assets/"),
		}
		return nil
	})
	if err != nil {
		h.files = nil
	}
	return h
}

// typeOf does not ask the machine's tables for the kinds that matter.
func typeOf(name string) string {
	switch ext := path.Ext(name); ext {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		if t := mime.TypeByExtension(ext); t != "" {
			return t
		}
		return "application/octet-stream"
	}
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the console answers GET and HEAD only", http.StatusMethodNotAllowed)
		return
	}
	f, err := h.find(r)
	if err != nil {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	header := w.Header()
	header.Set("Content-Type", f.contentType)
	header.Set("ETag", f.etag)
	header.Set("Cache-Control", "no-cache")
	if f.immutable {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

func secure(header http.Header) {
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), clipboard-write=(self)")
}

var errNoFile = errors.New("the console has no such file")

// find returns the file that a request names, or the page of the application.
func (h *handler) find(r *http.Request) (file, error) {
	name, ok := strings.CutPrefix(r.URL.Path, Path)
	if r.URL.Path == strings.TrimSuffix(Path, "/") {
		name, ok = "", true
	}
	if !ok {
		return file{}, errNoFile
	}
	if f, ok := h.files[name]; ok && name != "" {
		return f, nil
	}
	index, ok := h.files["index.html"]
	if !ok || strings.HasPrefix(name, "assets/") || name != "" && !navigates(r) {
		return file{}, errNoFile
	}
	return index, nil
}

// navigates tells a browser that opens a page from a script that wants a file:
// Sec-Fetch-Mode says so (W3C Fetch Metadata), and Accept where it is missing.
func navigates(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}
