package edge

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"

	"connectrpc.com/vanguard"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/edge/internal/rest"
	"github.com/keelson-dev/keelson/edge/openapi"
)

// routes is all that was made of one contract. It does not change.
type routes struct {
	contract   *keelson.Contract
	methods    map[string]protoreflect.MethodDescriptor // by path, as in "/user.v1.UserService/GetUser"
	services   map[string]bool
	transcoder http.Handler
	rest       *rest.Router
	document   []byte // OpenAPI
	etag       string // of the document
}

// current returns the routes of the service's contract, or of the one before while
// they are made: nobody waits for that but the first of all requests.
func (e *Edge) current() *routes {
	now := e.routes.Load()
	if now == nil {
		return e.refresh()
	}
	if now.contract != e.service.Contract() && e.refreshing.CompareAndSwap(false, true) {
		e.background(func() {
			defer e.refreshing.Store(false)
			e.refresh()
		})
	}
	return now
}

// refresh makes the routes of the service's contract if they are not made yet, and
// waits for whoever makes them.
func (e *Edge) refresh() *routes {
	e.making.Lock()
	defer e.making.Unlock()
	c := e.service.Contract()
	if now := e.routes.Load(); now != nil && now.contract == c {
		return now
	}
	made := e.routesOf(c)
	e.routes.Store(made)
	return made
}

// routesOf makes the routes of a contract. What cannot be served is left out and
// told to the log: one service must not take the others away.
func (e *Edge) routesOf(c *keelson.Contract) *routes {
	r := &routes{contract: c, methods: map[string]protoreflect.MethodDescriptor{}, services: map[string]bool{}}
	var all []protoreflect.ServiceDescriptor
	if c != nil {
		all = c.Services
	}
	var err error
	if r.transcoder, err = e.transcode(r, all); err != nil {
		e.log.Error("gRPC-Web and Connect are not served", "error", err)
		r.transcoder = http.NotFoundHandler()
	}
	if r.rest, err = rest.New(e.restConfig(all)); err != nil {
		e.log.Warn("some routes of REST are not served", "error", err)
	}
	if r.document, err = openapi.Document(all, e.documentInfo(), openapi.WithoutPaths(r.elsewhere(e))); err != nil {
		e.log.Warn("some routes of REST are not described, or cannot be reached", "error", err)
	}
	sum := sha256.Sum256(r.document)
	r.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return r
}

// elsewhere tells of a path, as the description has it, whether a request for it never
// gets to REST: documents, handlers of a main and methods by their name go before.
func (r *routes) elsewhere(e *Edge) func(path string) bool {
	wildcard := regexp.MustCompile(`\{[^{}]*\}`)
	return func(path string) bool {
		sample := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: wildcard.ReplaceAllString(path, "x")}}
		_, pattern := e.added.Handler(sample)
		return pattern != "" || path == documentPath || path == docsPath || r.methods[path] != nil
	}
}

func (e *Edge) restConfig(all []protoreflect.ServiceDescriptor) rest.Config {
	return rest.Config{
		Services: all, Handler: e.service, Domain: e.domain, MaxRequest: int64(e.cfg.MaxBody), Idle: e.cfg.IdleTimeout,
		RequestHeaders: e.cfg.RequestHeaders, ResponseHeaders: e.cfg.ResponseHeaders,
		Index: "; " + documentPath + " lists the routes, " + docsPath + " shows them",
	}
}

func (e *Edge) documentInfo() openapi.Info {
	return openapi.Info{Title: e.service.Name(), Version: e.service.Config().Version}
}

// transcode makes what serves gRPC-Web and Connect.
func (e *Edge) transcode(r *routes, all []protoreflect.ServiceDescriptor) (http.Handler, error) {
	var services []*vanguard.Service
	for _, s := range all {
		r.services[string(s.FullName())] = true
		for i := range s.Methods().Len() {
			m := s.Methods().Get(i)
			r.methods[fmt.Sprintf("/%s/%s", s.FullName(), m.Name())] = m
		}
		services = append(services, vanguard.NewServiceWithSchema(plainService{s}, http.HandlerFunc(e.inner),
			vanguard.WithTargetProtocols(vanguard.ProtocolGRPC),
			vanguard.WithTargetCodecs(vanguard.CodecProto),
			vanguard.WithTypeResolver(rest.NewTypes(s)),
			vanguard.WithMaxMessageBufferBytes(e.maxBuffer)))
	}
	t, err := vanguard.NewTranscoder(services,
		vanguard.WithCodec(e.newJSON), vanguard.WithCodec(e.newProto),
		vanguard.WithCompression(vanguard.CompressionGzip, newCompressor, e.newDecompressor))
	if err != nil {
		return nil, fmt.Errorf("prepare gRPC-Web and Connect: %w", err)
	}
	return t, nil
}

// method finds the method that a path names, and the routes that have it; nil: there
// is none. One that came a moment ago is found too: its first call waits for the
// routes.
func (e *Edge) method(path string) (*routes, protoreflect.MethodDescriptor) {
	r := e.current()
	if m := r.methods[path]; m != nil {
		return r, m
	}
	if r.contract != e.service.Contract() {
		r = e.refresh()
	}
	return r, r.methods[path]
}
