package internal_test

import (
	"testing"

	"google.golang.org/grpc"
)

// TestTheTextsOfTheTransportAreThoseOfThisVersion fails when grpc-go is upgraded,
// because errors.go knows some of its texts.
func TestTheTextsOfTheTransportAreThoseOfThisVersion(t *testing.T) {
	const read = "1.85.0"
	if grpc.Version != read {
		t.Errorf("grpc-go is %s: compare transportSays in errors.go with what internal/transport/http2_client.go of it says when a connection breaks, then write the version here and there", grpc.Version)
	}
}
