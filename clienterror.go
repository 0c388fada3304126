package keelson

import (
	"errors"
	"fmt"

	"github.com/keelson-dev/keelson/deadline"
	"github.com/keelson-dev/keelson/errs"
)

// explain returns the error of a call as callers see it: with its deadline, if that
// passed, and whether the call waited for an instance all the time.
func (r *clientCall) explain(err error) error {
	if r.unsent() {
		return deadline.Explain(&r.Call, err, "; no instance was ready to take it")
	}
	return deadline.Explain(&r.Call, err)
}

// told is the error as the log has it. Why no instance was ready for a call, such
// as what the registry answered, is nobody's business outside.
func (r *clientCall) told(err error) error {
	cause := errors.Unwrap(err)
	if cause == nil || !r.unsent() || errs.From(err).Remote() {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// unsent reports whether no instance was asked. The chassis's balancing policy
// counts attempts; whoever dials with another one has a peer.
func (r *clientCall) unsent() bool { return r.Attempts.Load() == 0 && r.peer.Addr == nil }
