package errs

import "errors"

// Row is one line of a [Table]: which domain error, and what it is to a caller.
// Either Is or Func must be set.
type Row struct {
	// Is is the domain error, compared with errors.Is. Nil: Func decides.
	Is error
	// As is what it becomes; the domain error becomes its cause.
	As *Error
	// Func, if set, makes the answer of the error at hand (its dynamic parts),
	// for the errors that match Is, or for any if Is is nil. It returns nil to
	// say that the row does not match. See [RowOf].
	Func func(err error) *Error
}

// RowOf returns a row for a domain error type, compared with errors.As.
func RowOf[T error](as func(T) *Error) Row {
	return Row{Func: func(err error) *Error {
		var domain T
		if !errors.As(err, &domain) {
			return nil
		}
		return as(domain)
	}}
}

// Table returns a Classifier of rows, tried in order; the first that matches
// decides. A service has one table, for all its domain errors.
func Table(rows ...Row) Classifier {
	return func(err error) *Error {
		for _, r := range rows {
			if e := r.match(err); e != nil {
				return e.causedBy(err)
			}
		}
		return nil
	}
}

func (r Row) match(err error) *Error {
	switch {
	case r.Is == nil && r.Func == nil, r.Is != nil && !errors.Is(err, r.Is):
		return nil
	case r.Func != nil:
		return r.Func(err)
	}
	return r.As
}
