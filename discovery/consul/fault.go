package consul

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/consul/api"
)

// kind sorts errors for metrics; values of the metric label "result".
type kind string

const (
	kindUnreachable kind = "unreachable" // no connection, or no answer in time
	kindDenied      kind = "denied"      // ACLs
	kindStatus      kind = "status"      // another status than 200
	kindMalformed   kind = "malformed"   // an answer that is none
	kindStale       kind = "stale"       // an answer that must not be believed
	kindMissing     kind = "missing"     // the instance is not there
	kindCanceled    kind = "canceled"    // the caller gave up
)

// fault is an error with its kind.
type fault struct {
	kind kind
	err  error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func faultf(k kind, format string, args ...any) error {
	return &fault{kind: k, err: fmt.Errorf(format, args...)}
}

func kindOf(err error) kind {
	var f *fault
	switch {
	case errors.As(err, &f):
		return f.kind
	case errors.Is(err, context.Canceled):
		return kindCanceled
	}
	return kindUnreachable
}

// maxMessage is how much of what an agent answered is repeated in an error, in bytes.
const maxMessage = 256

// explain turns an error of Consul's client into one that teaches, without the secret.
func (s *session) explain(err error) error {
	var status api.StatusError
	if errors.As(err, &status) {
		return s.statusFault(status.Code, status.Body)
	}
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) { // it repeats the whole URL
		err = wrapped.Err
	}
	if errors.As(err, new(*tls.CertificateVerificationError)) {
		return faultf(kindUnreachable, "%w; is ca_file that of the agent's authority, and server_name what the certificate says?", err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return faultf(kindUnreachable, "it did not answer in time: %w", err)
	}
	return err
}

// statusFault is the error for an answer with another status than was hoped for.
func (s *session) statusFault(code int, body string) error {
	text := s.clean(body)
	if text == "" {
		text = http.StatusText(code)
	}
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return faultf(kindDenied, "answered %d: %s; is it the right token? It needs service:write to register, service:read and node:read to find", code, text)
	case http.StatusTooManyRequests:
		return faultf(kindStatus, "answered %d: %s; raise limits.http_max_conns_per_client of the agent", code, text)
	case http.StatusNotFound:
		return faultf(kindMissing, "answered %d: %s", code, text)
	}
	return faultf(kindStatus, "answered %d: %s", code, text)
}

// clean makes one short line of what an agent, or whatever stands in front of it, answered.
func (s *session) clean(text string) string {
	if s.token != "" {
		text = strings.ReplaceAll(text, s.token, "***")
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "..."
	}
	return text
}
