package logs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"testing"

	"github.com/keelson-dev/keelson/telemetry/logs"
)

// output is a writer that can be read while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) lines(t *testing.T) []map[string]any {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []map[string]any
	for line := range bytes.Lines(o.buf.Bytes()) {
		m := map[string]any{}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("line is not JSON: %v\n%s", err, line)
		}
		all = append(all, m)
	}
	return all
}

// newLog returns a log, and what closes it and returns its lines.
func newLog(t *testing.T, cfg logs.Config) (*logs.Log, func() []map[string]any) {
	t.Helper()
	out := &output{}
	sink, err := logs.NewSink(out, logs.SinkConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- sink.Run(context.Background()) }()
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return logs.New(sink, cfg), func() []map[string]any {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
		return out.lines(t)
	}
}
