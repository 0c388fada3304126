package discoverytest_test

import (
	"fmt"
	"testing"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/discoverytest"
)

// A driver's own test starts an empty registry for each case and says what can be done to it, and why not the rest.
func ExampleRun() {
	testDriver := func(t *testing.T) {
		discoverytest.Run(t, func(*testing.T) discoverytest.Harness {
			r := newRegistry()
			return discoverytest.Harness{
				Driver: func() discovery.Driver { return driver{r: r} },
				Stop:   func() { r.change(func() { r.away = true }) },
				Start:  func() { r.change(func() { r.away = false }) },
				Wipe:   func() { r.change(func() { clear(r.byKey) }) },
				Without: map[discoverytest.Feature]string{
					discoverytest.Corrupt: "entries are values in memory, which cannot be unreadable",
				},
			}
		})
	}
	fmt.Println("func TestDriver is", testDriver != nil)
	// Output: func TestDriver is true
}
