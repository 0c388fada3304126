package internal

import (
	"crypto/sha256"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// writeRequest is what all writes have in common.
type writeRequest interface {
	proto.Message
	GetRequestId() string
	GetValidateOnly() bool
}

// newWrite makes of a request what the store is told about it: the etag to
// compare, the request to remember, whether to store at all.
func newWrite(method string, req writeRequest, etag string) (repository.Write, error) {
	w := repository.Write{Match: matchETag(etag), DryRun: req.GetValidateOnly()}
	if err := checkRequestID(req.GetRequestId()); err != nil {
		return w, err
	}
	if req.GetRequestId() == "" {
		return w, nil
	}
	hash, err := requestHash(req)
	if err != nil {
		return w, err
	}
	w.Request = &repository.Request{
		ID: strings.ToLower(req.GetRequestId()), Method: method, Hash: hash,
		Response: func(r repository.Result) ([]byte, error) { return proto.Marshal(toProto(&r.User)) },
	}
	return w, nil
}

// requestHash is a digest of the request without its ID: two requests with the
// same ID must have the same (AIP-155).
func requestHash(req writeRequest) ([]byte, error) {
	body := proto.Clone(req).ProtoReflect()
	body.Clear(body.Descriptor().Fields().ByName("request_id"))
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(body.Interface())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	return sum[:], nil
}
