package openapi

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed page
var pageFiles embed.FS

// Page returns the page on which a person reads the document and tries its
// operations. It is one answer without any other file: mount it at /docs, beside
// /openapi.json, which it reads; under a prefix too, if both have it.
//
// Its Content-Security-Policy lets in what the page itself holds and nothing
// else, and connections to the server that it came from only.
func Page() http.Handler {
	style := pageFile("page.css")
	script := "\"use strict\";\n" + pageFile("schema.js") + pageFile("send.js") + pageFile("page.js")
	body := strings.NewReplacer("{{style}}", style, "{{script}}", script).Replace(pageFile("page.html"))
	policy := strings.Join([]string{
		"default-src 'none'",
		"script-src " + source(script),
		"style-src " + source(style),
		"connect-src 'self'",
		"img-src data:",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
	}, "; ")
	return &page{body: body, policy: policy, etag: strconv.Quote(digest(body)[:22])}
}

// page is the page, put together once.
type page struct{ body, policy, etag string }

// ServeHTTP implements http.Handler.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this is a page; read it with GET", http.StatusMethodNotAllowed)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", p.policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", p.etag)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(p.body))
}

// pageFile returns an embedded file; that it is there is known when this is
// compiled and tested.
func pageFile(name string) string {
	content, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		return fmt.Sprintf("/* %v */", err)
	}
	return string(content)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// source names a text in a Content-Security-Policy (CSP Level 3, 8.4).
func source(text string) string { return "'sha256-" + digest(text) + "'" }
