package errs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/keelson-dev/keelson/errs"
)

func TestFromWireMarksWhatADependencySaid(t *testing.T) {
	original := status.Error(codes.NotFound, "no user")
	err := fmt.Errorf("get user: %w", errs.FromWire(original))
	var e *errs.Error
	if !errors.As(err, &e) || !e.Remote() || e.Code() != codes.NotFound || e.Message() != "no user" {
		t.Fatalf("got %v", err)
	}
	if !errors.Is(err, original) || status.Code(err) != codes.NotFound || errs.Code(err) != codes.NotFound {
		t.Error("gRPC's own error is lost")
	}
	if !errors.Is(err, errs.NotFound("", "")) || errs.Reason(err) != "" {
		t.Error("errors.Is does not see it")
	}
}

func TestFromWireLeavesTheRestAlone(t *testing.T) {
	own := errs.Unavailable(errs.ReasonCircuitOpen, "open")
	remote := errs.FromWire(status.Error(codes.NotFound, "x"))
	fromPlain := errs.From(status.Error(codes.NotFound, "x"))
	for name, err := range map[string]error{
		"nil": nil, "end of stream": io.EOF, "context": context.Canceled, "made by the client half": own, "converted already": remote,
		"wrapped": fmt.Errorf("w: %w", own), "read by From": fromPlain, "verbatim": errs.Verbatim(remote), "no status": noStatus{},
	} {
		t.Run(name, func(t *testing.T) {
			if got := errs.FromWire(err); got != err { //nolint:errorlint // the very same
				t.Errorf("became %v", got)
			}
		})
	}
	if own.Remote() || fromPlain.Remote() {
		t.Error("an own error was marked as a dependency's")
	}
}

func TestFromNeverLosesWhatItReads(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		code codes.Code
	}{
		"an *Error":             {fmt.Errorf("w: %w", errs.NotFound("X", "m")), codes.NotFound},
		"a status":              {fmt.Errorf("w: %w", status.Error(codes.DataLoss, "m")), codes.DataLoss},
		"a verbatim":            {errs.Verbatim(status.Error(codes.DataLoss, "m")), codes.DataLoss},
		"a context":             {context.Canceled, codes.Canceled},
		"nobody knows":          {errors.New("x"), codes.Internal},
		"a typed nil in a join": {errors.Join((*errs.Error)(nil), errors.New("x")), codes.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			e := errs.From(tc.err)
			if e.Code() != tc.code || errs.Code(tc.err) != tc.code || e.Remote() {
				t.Errorf("became %v", e)
			}
		})
	}
	plain := errors.New("x")
	if !errors.Is(errs.From(plain), plain) {
		t.Error("the cause of an unknown error is lost")
	}
}

func TestAChangedErrorIsAnotherStatus(t *testing.T) {
	e := errs.From(status.Error(codes.NotFound, "x"))
	changed := e.With(errs.Meta("a", "b"))
	back := errs.From(changed.GRPCStatus().Err())
	if back.Meta("a") != "b" || len(e.Details()) != 0 {
		t.Errorf("changed %v, original %v", back.Details(), e.Details())
	}
	if diff := cmp.Diff(status.Convert(e).Proto(), status.New(codes.NotFound, "x").Proto(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}
