// Package console serves the browser console: a page on which a person manages
// users and watches the platform live. It is an application in TypeScript, whose
// built files are in dist and part of the binary; it talks gRPC-Web to the
// listener that served it and needs no other backend.
//
//	front, err := edge.New(svc, cfg, edge.WithHandler("/console/", console.Handler()))
//
// docs/console.md says what it does and how it is developed.
package console

import (
	"embed"
	"io/fs"
	"net/http"
)

// Path is where the console is mounted; its pages name their files by it.
const Path = "/console/"

//go:embed dist
var files embed.FS

// Handler serves the console below [Path]. It is stateless and safe for
// concurrent use.
//
// Files whose names carry a digest may be cached for good; all others are asked
// for anew and answered 304 while they are the same. [Path] itself is the page,
// whoever asks. Another path that names no file is a page of the application and
// answered with index.html, if it is a browser that navigates: a file that is
// missing stays 404. All answers forbid scripts,
// styles and connections of other origins and being framed. Only GET and HEAD are
// answered. Compression is the listener's business.
func Handler() http.Handler {
	dist, err := fs.Sub(files, "dist")
	if err != nil {
		// The folder is embedded: its name is valid.
		return http.NotFoundHandler()
	}
	return newHandler(dist)
}
