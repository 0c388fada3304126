package file_test

import (
	"errors"
	"io/fs"
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
						inPlaceOf(t, dir, func() error { return os.WriteFile(dir, nil, 0o644) })
					},
					Start: func() {
						inPlaceOf(t, dir, func() error { return os.Rename(dir+".away", dir) })
					},
					Wipe: func() { inPlaceOf(t, dir, func() error { return nil }) },
					Corrupt: func(service string) {
						must(t, os.WriteFile(filepath.Join(dir, service, "garbage.json"), []byte(`{"id": "x`), 0o644))
					},
				}
			})
		})
	}
}

// inPlaceOf takes away what stands at a path and puts something else there. A
// registration that runs meanwhile may have made the directory again: then it
// is taken away again.
func inPlaceOf(t *testing.T, path string, put func() error) {
	t.Helper()
	var err error
	for range 100 {
		// Renaming is one step: nothing can be written into what is being removed.
		old := filepath.Join(t.TempDir(), "old")
		if err = os.Rename(path, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		must(t, os.RemoveAll(old))
		if err = put(); err == nil {
			return
		}
	}
	t.Fatalf("replace %s: %v", path, err)
}
