package edge

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/edge/internal/rest"
)

// off is the address of a listener that is not wanted.
const off = "off"

// Config is what an edge can be told. The zero value works: it listens on
// loopback, in plaintext, with every default below.
type Config struct {
	// Address is host:port; port 0 lets the system choose one. "off" opens no
	// listener: the edge is a handler only.
	Address string `yaml:"address" default:"127.0.0.1:8080" doc:"host:port of gRPC-Web, Connect, REST and gRPC; port 0: chosen by the system; off: none"`
	// Public permits an address off loopback. There is nothing yet that asks
	// callers who they are, so that it has to be said in so many words.
	Public bool `yaml:"public" doc:"listen off loopback although nobody is asked who they are"`
	// H2C permits HTTP/2 in plaintext, without which gRPC needs TLS.
	H2C bool `yaml:"h2c" doc:"speak HTTP/2 without TLS too; gRPC needs it where there is no TLS"`
	// TLS names the files of the listener's TLS; empty: plaintext.
	TLS keelson.ServerTLS `yaml:"tls"`

	// Hosts are names in Host, without port, under which the edge answers, besides
	// localhost and loopback addresses; "*": any. Default: any where it listens off
	// loopback, and no others on loopback, where pages could else reach it by DNS
	// rebinding.
	Hosts []string `yaml:"hosts" doc:"names under which it answers besides those of loopback, such as api.example.com; *: any; default: any off loopback"`
	// TrustedProxies are addresses and CIDRs in front of the edge whose word on
	// the client's address is taken. Default: none.
	TrustedProxies []string `yaml:"trusted_proxies" doc:"addresses and CIDRs of proxies whose X-Forwarded headers are believed"`
	// IgnoreTraceparent begins a new trace for every request from outside.
	IgnoreTraceparent bool `yaml:"ignore_traceparent" doc:"begin a new trace for every request instead of continuing the caller's"`
	// RequestHeaders are headers that REST passes to the services as metadata, besides
	// those that it always does, and that pages of other origins may send. The other
	// protocols pass all metadata.
	RequestHeaders []string `yaml:"request_headers" doc:"headers of your services' own, such as X-Tenant, that REST passes to them as metadata, and that pages of other origins may send"`
	// ResponseHeaders are metadata of answers that REST sends as headers, besides those
	// that it always does, and that pages of other origins may read.
	ResponseHeaders []string `yaml:"response_headers" doc:"metadata of your services' answers that REST sends as headers, and that pages of other origins may read"`
	// CORS says which pages of other origins may call; default: none.
	CORS CORSConfig `yaml:"cors"`
	// HSTS is how long browsers shall insist on TLS; sent over TLS only.
	// Negative: not sent. Default: a year.
	HSTS time.Duration `yaml:"hsts" default:"8760h" doc:"how long browsers shall insist on TLS; sent over TLS only; negative: not sent"`
	// GzipAbove is the size from which answers other than gRPC's are compressed,
	// for clients that take it. Negative: never. Default: 1 KiB.
	GzipAbove keelson.Size `yaml:"gzip_above" default:"1KiB" doc:"compresses REST answers, documents and pages from this size on"`

	// MaxBody bounds the body of a request that is one message, such as REST and
	// unary Connect. Default: twice the service's grpc.max_receive, because JSON
	// is longer than what it stands for. Streams are bounded message by message,
	// by grpc.max_receive.
	MaxBody keelson.Size `yaml:"max_body" min:"0B" max:"2047MiB" doc:"largest body of a request that is one message; default: twice grpc.max_receive"`
	// MaxHeader bounds the header of a request, in bytes.
	MaxHeader keelson.Size `yaml:"max_header" default:"16KiB" min:"1KiB" max:"1MiB" doc:"most header bytes of a request"`
	// MaxStreams bounds the concurrent requests of one HTTP/2 connection.
	MaxStreams int `yaml:"max_streams" default:"250" min:"1" max:"100000" doc:"most concurrent requests of one HTTP/2 connection"`
	// MaxConnections and MaxConnectionsPerAddress bound open connections; those
	// of trusted proxies count for the first only.
	MaxConnections           int `yaml:"max_connections" default:"10000" min:"1" max:"1000000" doc:"most open connections"`
	MaxConnectionsPerAddress int `yaml:"max_connections_per_address" default:"256" min:"1" max:"1000000" doc:"most open connections from one address; trusted proxies are exempt"`

	// HeaderTimeout is the time for TLS and for a request's header.
	HeaderTimeout time.Duration `yaml:"header_timeout" default:"5s" min:"10ms" max:"1h" doc:"most time for a TLS handshake, and for the header of a request"`
	// ReadTimeout is the time for a message, or a body that is one, to come
	// in; it has a second more for every KiB that did. Between the messages of a
	// client's stream nothing is asked for, but see IdleTimeout.
	ReadTimeout time.Duration `yaml:"read_timeout" default:"10s" min:"10ms" max:"1h" doc:"most time for a message to come in, plus a second for each KiB of it that came"`
	// WriteTimeout is how long a write of at most 64 KiB may block on a client
	// that does not read.
	WriteTimeout time.Duration `yaml:"write_timeout" default:"10s" min:"10ms" max:"1h" doc:"how long a write of at most 64 KiB may wait for the client to read"`
	// IdleTimeout closes a connection without a request, and ends an upload over REST
	// whose client sends nothing for so long while no result is written to it; where
	// the .proto gives the method an idle_timeout, that bounds the upload instead.
	IdleTimeout time.Duration `yaml:"idle_timeout" default:"2m" min:"10ms" max:"24h" doc:"closes a connection with no request for so long; ends an upload over REST that pauses as long, unless its method has an idle_timeout"`
}

// CORSConfig says which pages of other origins may call (the Fetch standard,
// section 3.3). Origins are compared as they are.
type CORSConfig struct {
	// Origins are scheme://host[:port], without path and without wildcards.
	Origins []string `yaml:"origins" doc:"origins whose pages may call, such as https://app.example.com"`
	// AnyOrigin lets pages of every origin call, without credentials.
	AnyOrigin bool `yaml:"any_origin" doc:"let every page in every browser call, without credentials"`
	// Credentials lets pages send cookies and TLS client certificates.
	Credentials bool `yaml:"credentials" doc:"let those pages send cookies and client certificates"`
	// MaxAge is how long browsers may remember the permission.
	MaxAge time.Duration `yaml:"max_age" default:"2h" min:"0s" max:"24h" doc:"how long browsers may remember the permission"`
}

// withDefaults fills what is zero.
func (c Config) withDefaults(maxReceive int64) Config {
	c.Address = cmp.Or(c.Address, "127.0.0.1:8080")
	c.HSTS = cmp.Or(c.HSTS, 365*24*time.Hour)
	c.GzipAbove = cmp.Or(c.GzipAbove, 1<<10)
	c.MaxBody = cmp.Or(c.MaxBody, keelson.Size(min(2*maxReceive, 2047<<20)))
	c.MaxHeader = cmp.Or(c.MaxHeader, 16<<10)
	c.MaxStreams = cmp.Or(c.MaxStreams, 250)
	c.MaxConnections = cmp.Or(c.MaxConnections, 10_000)
	c.MaxConnectionsPerAddress = cmp.Or(c.MaxConnectionsPerAddress, 256)
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, 5*time.Second)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, 10*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 2*time.Minute)
	c.CORS.MaxAge = cmp.Or(c.CORS.MaxAge, 2*time.Hour)
	return c
}

// check reports every fault.
func (c *Config) check(insecure bool) error {
	var faults []error
	for _, v := range []struct {
		key   string
		value int64
	}{
		{"max_body", int64(c.MaxBody)},
		{"max_header", int64(c.MaxHeader)},
		{"max_streams", int64(c.MaxStreams)},
		{"max_connections", int64(c.MaxConnections)},
		{"max_connections_per_address", int64(c.MaxConnectionsPerAddress)},
		{"header_timeout", int64(c.HeaderTimeout)},
		{"read_timeout", int64(c.ReadTimeout)},
		{"write_timeout", int64(c.WriteTimeout)},
		{"idle_timeout", int64(c.IdleTimeout)},
		{"cors.max_age", int64(c.CORS.MaxAge)},
	} {
		if v.value < 0 {
			faults = append(faults, fmt.Errorf("edge.%s: %d is negative; set it to more than 0, or leave it out for the default", v.key, v.value))
		}
	}
	faults = append(faults, checkHeaders("request_headers", c.RequestHeaders)...)
	faults = append(faults, checkHeaders("response_headers", c.ResponseHeaders)...)
	return errors.Join(append(faults, c.checkAddress(insecure))...)
}

// checkHeaders refuses what is no name of a header, and what never passes.
func checkHeaders(key string, names []string) (faults []error) {
	for i, name := range names {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case name == "" || strings.ContainsFunc(name, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
		}):
			faults = append(faults, fmt.Errorf("edge.%s[%d]: %q is no name of metadata; write one by one as in X-Tenant, of letters, digits, \"-\", \"_\" and \".\"", key, i, name))
		case rest.NeverPasses(canonical) || platformOnly(canonical) || forwardedHeader(canonical):
			faults = append(faults, fmt.Errorf("edge.%s[%d]: %q never passes: it is of the connection, of gRPC, or for the platform alone to set; leave it out", key, i, name))
		}
	}
	return faults
}

// checkAddress refuses to be reached from elsewhere unless that was said.
func (c *Config) checkAddress(insecure bool) error {
	if c.Address == off {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		return fmt.Errorf("edge.address: %w; write host:port, or off", err)
	}
	if keelson.IsLoopback(c.Address) {
		return nil
	}
	var faults []error
	if !c.Public {
		faults = append(faults, fmt.Errorf("edge.address: %q can be reached from elsewhere, and nobody is asked yet who they are; listen on 127.0.0.1, or set edge.public: true if everybody may call", c.Address))
	}
	if c.TLS == (keelson.ServerTLS{}) && !insecure {
		faults = append(faults, fmt.Errorf("edge.address: plaintext off loopback is refused: %q; set the TLS files beside it, or insecure: true", c.Address))
	}
	return errors.Join(faults...)
}
