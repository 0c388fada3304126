package errs_test

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/errs"
)

// A service has one table that says what its domain errors are to a caller. What leaves is the row's message, never the text that wraps the error.
func Example() {
	errNoUser := errors.New("no such user") // made in the repository
	table := errs.Table(
		errs.Row{Is: errNoUser, As: errs.NotFound("USER_NOT_FOUND", "there is no such user")},
	)

	failed := fmt.Errorf("select from users on db-3: %w", errNoUser)
	st := errs.Status(errs.Classify(failed, table), "user.example.com", "0b7c")

	// At the caller:
	err := errs.FromWire(st.Err())
	fmt.Println(errors.Is(err, errs.NotFound("USER_NOT_FOUND", "")))
	fmt.Println(err)
	var e *errs.Error
	if errors.As(err, &e) {
		fmt.Println(e.Domain(), e.RequestID())
	}
	// Output:
	// true
	// NOT_FOUND USER_NOT_FOUND: there is no such user
	// user.example.com 0b7c
}

func ExampleInvalidArgument() {
	err := errs.InvalidArgument("INVALID_USER", "the user is not valid").With(
		errs.Field("user.email", "REQUIRED", "must be set"),
		errs.Field("user.labels", "TOO_MANY", "at most 64"),
	)
	for _, f := range err.Fields() {
		fmt.Println(f.GetField(), f.GetReason(), f.GetDescription())
	}
	// Output:
	// user.email REQUIRED must be set
	// user.labels TOO_MANY at most 64
}

func ExampleStatus() {
	for _, err := range []error{
		errors.New("dial tcp 10.0.0.7:5432: password authentication failed"),
		status.Error(codes.NotFound, "no user"),
		errs.FromWire(status.Error(codes.NotFound, "a dependency's no user")),
	} {
		st := errs.Status(err, "user.example.com", "0b7c")
		fmt.Println(st.Code(), errs.Reason(st.Err()), st.Message())
	}
	// Output:
	// Internal INTERNAL internal error; quote the correlation ID 0b7c
	// NotFound NOT_FOUND no user
	// Internal DEPENDENCY_FAILED internal error; quote the correlation ID 0b7c
}

func ExampleVerbatim() {
	behind := errs.FromWire(status.Error(codes.NotFound, "no user")) // what the service behind the gateway answered
	fmt.Println(errs.Status(errs.Verbatim(behind), "gateway.example.com", "").Code())
	// Output: NotFound
}

func ExampleDraining() {
	err := errs.Draining("revision-17") // how a watch ends when its instance goes away
	token, ok := errs.ResumeToken(fmt.Errorf("watch users: %w", err))
	fmt.Println(token, ok)
	// Output: revision-17 true
}
