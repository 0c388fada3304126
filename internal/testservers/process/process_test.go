package processtest

import (
	"io"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAServiceIsBuiltStartedAndDrained(t *testing.T) {
	registry := t.TempDir()
	binary := Build(t, "../../..", "./services/user/cmd/user")
	t.Run("while it is needed", func(t *testing.T) {
		if at := Start(t, registry, binary); at.Service != "user" || at.Address == "" {
			t.Errorf("it is registered as %+v", at)
		}
	})
	// The next one is found by its process, whatever the first one left.
	if at := Start(t, registry, binary, "KEELSON_INSTANCE_ID=second"); at.ID != "second" {
		t.Errorf("it is registered as %+v", at)
	}
}

func TestOnlyWhatIsUnusualIsShown(t *testing.T) {
	b := &buffer{}
	for _, line := range []string{`{"log.level":"info","message":"a"}`, `{"log.level":"warn","message":"b"}`, "panic: c"} {
		_, _ = io.WriteString(b, line+"\n")
	}
	const want = `{"log.level":"warn","message":"b"}` + "\npanic: c\n"
	if got := b.unusual(); got != want {
		t.Errorf("shown: %q", got)
	}
}
