package integration_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
)

// rss is the resident memory of an instance in bytes, read from Linux's /proc.
func rss(t *testing.T, i *instance) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.cmd.Process.Pid))
	if err != nil {
		t.Skipf("the memory of a process is read on Linux only: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.Fields(kib)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("there is no VmRSS")
	return 0
}

// statusError is a status that came inside a message as the error it is; nil
// when there is none.
func statusError(s *spb.Status) error { return status.FromProto(s).Err() }
