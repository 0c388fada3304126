// Package foreign_test runs the services' real binaries and meets them with
// clients that nobody here wrote.
package foreign_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
