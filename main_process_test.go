package keelson_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/keelson-dev/keelson"
)

// mainVariable makes this test binary a program whose main is keelson.Main.
const mainVariable = "KEELSONTEST_MAIN"

func TestMainTellsTheErrorAndExits(t *testing.T) {
	if how := os.Getenv(mainVariable); how != "" {
		keelson.Main(func(context.Context) error {
			switch how {
			case "fails":
				return errors.New("the port is taken")
			case "prints":
				return fmt.Errorf("print: %w", keelson.ErrPrinted)
			case "counts":
				var m runtime.MemStats
				if runtime.ReadMemStats(&m); m.HeapAlloc < 100<<20 {
					return fmt.Errorf("the collector counts %d bytes as in use", m.HeapAlloc)
				}
			}
			return nil
		}, keelson.WithHeapFloor(100<<20))
	}
	for how, want := range map[string]struct {
		code int
		text string
	}{
		"works":  {0, ""},
		"counts": {0, ""},
		"prints": {0, ""},
		"fails":  {1, "error: the port is taken\n"},
	} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMainTellsTheErrorAndExits$") //nolint:gosec // this very binary
			cmd.Env = append(os.Environ(), "GOGC=", mainVariable+"="+how)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			_ = cmd.Run() // the exit code says it
			if got := cmd.ProcessState.ExitCode(); got != want.code || stderr.String() != want.text {
				t.Errorf("exit code %d with %q, want %d with %q", got, stderr.String(), want.code, want.text)
			}
		})
	}
}
