package file_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/discoverytest"
	"github.com/keelson-dev/keelson/discovery/file"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newDriver(t *testing.T, dir string, cfg file.Config) *file.Driver {
	t.Helper()
	d, err := file.New(dir, cfg)
	must(t, err)
	return d
}

func TestDriverKeepsTheContract(t *testing.T) {
	for name, cfg := range map[string]file.Config{
		"with notifications": {},
		"with polling only":  {PollOnly: true, PollInterval: 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			discoverytest.Run(t, func(t *testing.T) discoverytest.Harness {
				dir := filepath.Join(t.TempDir(), "registry")
				must(t, os.Mkdir(dir, 0o755))
				return discoverytest.Harness{
					Driver: func() discovery.Driver { return newDriver(t, dir, cfg) },
					// Something that is no directory stands in its place: nothing can be read, and nothing created.
					Stop: func() {
						must(t, os.Rename(dir, dir+".away"))
						must(t, os.WriteFile(dir, nil, 0o644))
					},
					Start: func() {
						must(t, os.Remove(dir))
						must(t, os.Rename(dir+".away", dir))
					},
					Wipe: func() { must(t, os.RemoveAll(dir)) },
					Corrupt: func(service string) {
						must(t, os.WriteFile(filepath.Join(dir, service, "garbage.json"), []byte(`{"id": "x`), 0o644))
					},
				}
			})
		})
	}
}
