package edge

import (
	"net/http"
	"strings"
)

// protocol is how a request speaks to the service. It is a label of metrics, so
// that it is one of these and never what a client sent.
type protocol uint8

const (
	other         protocol = iota // pages, handlers of a main, and what fits nothing
	native                        // gRPC
	web                           // gRPC-Web, binary
	webText                       // gRPC-Web, base64
	connectUnary                  // Connect, one message each way
	connectStream                 // Connect, streams
	restful                       // REST
	openAPI                       // the description of REST, and its page
	protocols                     // how many there are
)

// String is the label.
func (p protocol) String() string {
	switch p {
	case native:
		return "grpc"
	case web:
		return "grpc-web"
	case webText:
		return "grpc-web-text"
	case connectUnary, connectStream:
		return "connect"
	case restful:
		return "rest"
	case openAPI:
		return "openapi"
	default:
		return "other"
	}
}

// rpc tells whether requests name a method of the .proto in their path, and are
// framed or coded as their own specification has it.
func (p protocol) rpc() bool { return p >= native && p <= connectStream }

// framed tells whether bodies are messages with a prefix of five bytes.
func (p protocol) framed() bool { return p.rpc() && p != connectUnary }

const (
	typeGRPC      = "application/grpc"
	typeWeb       = "application/grpc-web"
	typeWebText   = "application/grpc-web-text"
	typeStreaming = "application/connect+"
	typeJSON      = "application/json"
	typeProto     = "application/proto"
	typeLines     = "application/x-ndjson"
)

// contentType is that of a request in lower case and without parameters.
func contentType(h http.Header) string {
	v := h["Content-Type"]
	if len(v) != 1 {
		return ""
	}
	media, _, _ := strings.Cut(v[0], ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// classify finds the protocol by what its specification says identifies it:
// PROTOCOL-HTTP2.md and PROTOCOL-WEB.md of gRPC, and the Connect protocol's own.
// What is none of them is other. known tells whether a path is that of a call, also of
// a method that a service does not have: a POST of JSON to one is Connect even when the
// client does not say so.
func classify(r *http.Request, media string, known func(path string) bool) protocol {
	switch {
	case media == "":
		if r.Method == http.MethodGet && connectQuery(r.URL.RawQuery) {
			return connectUnary
		}
		return other
	case strings.HasPrefix(media, typeStreaming):
		return connectStream
	case hasSubtype(media, typeGRPC):
		return native
	case hasSubtype(media, typeWeb):
		return web
	case hasSubtype(media, typeWebText):
		return webText
	case r.Method == http.MethodGet && connectQuery(r.URL.RawQuery):
		return connectUnary
	case r.Method == http.MethodPost && (media == typeJSON || media == typeProto) && (r.Header["Connect-Protocol-Version"] != nil || known(r.URL.Path)):
		return connectUnary
	default:
		return other
	}
}

// hasSubtype tells whether a media type is another one, as it is or with a codec.
func hasSubtype(media, base string) bool {
	rest, ok := strings.CutPrefix(media, base)
	return ok && (rest == "" || rest[0] == '+')
}

// connectQuery tells whether a query says connect=v1, as a GET of Connect does.
func connectQuery(query string) bool {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "connect=v1" {
			return true
		}
	}
	return false
}
