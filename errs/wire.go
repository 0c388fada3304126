package errs

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// From returns what err is: the first *Error of its tree, or the status in it
// with nothing lost, or what [Classify] makes of it. An error that nobody knows
// is INTERNAL with the error as its cause. Nil is nil; beware of returning
// From(nil) as an error interface outside a chassis server.
//
// From says nothing about where an error came from: only [FromWire] marks an
// error as a dependency's.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e := inChain(err); e != nil {
		return e
	}
	if e, ok := err.(*Error); ok && e == nil { //nolint:errorlint // a typed nil has no chain
		return nil
	}
	if e := classify(err); e != nil {
		return e
	}
	return Internal(ReasonInternal, internalMessage).With(Cause(err))
}

// FromWire converts what an outgoing call returned: a status error becomes an
// *Error that is marked as a dependency's and whose cause is err itself. Errors
// without a status (io.EOF at the end of a stream, nil) and errors that are
// *Error already (made by the client half, not by the dependency) are returned
// as they are.
func FromWire(err error) error {
	switch find(err).(type) { //nolint:errorlint // find has walked the tree
	case nil, *Error, *verbatim:
		return err
	}
	e := inChain(err)
	if e == nil {
		return err
	}
	e.remote = true // parsed a moment ago, known to nobody else
	return e
}

// inChain returns the *Error of the tree, or one parsed from the status in it,
// or nil.
func inChain(err error) *Error {
	switch x := find(err).(type) { //nolint:errorlint // find has walked the tree
	case *Error:
		return x
	case *verbatim:
		return inChain(x.err)
	case interface{ GRPCStatus() *status.Status }:
		st := x.GRPCStatus()
		if st.Code() == codes.OK {
			return nil // gRPC calls it UNKNOWN: an error that says it is none
		}
		e := parse(st)
		e.cause = err
		return e
	}
	return nil
}

// parse reads a status. The status stays with the error, and is what GRPCStatus
// returns, until With changes the error.
func parse(st *status.Status) *Error {
	p := st.Proto()
	e := &Error{code: codes.Code(uint32(p.GetCode())), message: valid(p.GetMessage()), wire: st} //nolint:gosec // the same 32 bits
	for _, a := range p.GetDetails() {
		if a != nil {
			e.absorb(a)
		}
	}
	return e
}
