package balancer

import (
	"errors"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/errs"
)

// outcome is what one attempt says about the instance that it was sent to.
type outcome uint8

const (
	outcomeGood outcome = iota
	outcomeBad
	outcomeNothing
)

// What is reported to gobreaker for an outcome.
var (
	errBad     = errors.New("the attempt failed")
	errNothing = errors.New("the attempt says nothing about the instance")
)

func (o outcome) report() error {
	switch o {
	case outcomeBad:
		return errBad
	case outcomeNothing:
		return errNothing
	default:
		return nil
	}
}

// judge tells what an attempt says. late tells whether a deadline that passed says something: the attempt had time enough.
func judge(info balancer.DoneInfo, late func() bool) outcome {
	if !info.BytesSent {
		return outcomeNothing // the connection was gone, which is gRPC's business
	}
	if info.Err == nil {
		return outcomeGood
	}
	switch status.Code(info.Err) {
	case codes.Canceled, codes.ResourceExhausted, codes.Unimplemented:
		return outcomeNothing
	case codes.DeadlineExceeded:
		if !late() {
			return outcomeNothing
		}
		return outcomeBad
	case codes.Unavailable:
		if errs.Reason(errs.FromWire(info.Err)) == errs.ReasonDraining {
			return outcomeNothing
		}
		return outcomeBad
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return outcomeBad
	default:
		return outcomeGood // the caller's own faults
	}
}
