package discoverytest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/discoverytest"
)

const faultVariable = "KEELSONTEST_FAULT"

func TestMain(m *testing.M) {
	if os.Getenv(faultVariable) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

func harness(f fault, patience time.Duration) discoverytest.Harness {
	r := newRegistry()
	return discoverytest.Harness{
		Driver:   func() discovery.Driver { return driver{r, f} },
		Stop:     func() { r.change(func() { r.away = true }) },
		Start:    func() { r.change(func() { r.away = false }) },
		Wipe:     func() { r.change(func() { clear(r.byKey) }) },
		Corrupt:  func(service string) { r.change(func() { r.garbage[service]++ }) },
		Patience: patience,
	}
}

func TestSuitePassesADriverThatKeepsTheContract(t *testing.T) {
	discoverytest.Run(t, func(*testing.T) discoverytest.Harness { return harness("", 0) })
}

// TestFaulty runs the suite on a driver with a fault, in a process of its own, as it must fail.
func TestFaulty(t *testing.T) {
	f := os.Getenv(faultVariable)
	if f == "" {
		return // it is the child of TestSuiteFailsADriverThatDoesNot
	}
	discoverytest.Run(t, func(*testing.T) discoverytest.Harness {
		h := harness(fault(f), time.Second)
		switch f {
		case "a feature is left out":
			h.Wipe = nil
		case "a feature is there and left out":
			h.Without = map[discoverytest.Feature]string{discoverytest.Wipe: "we do not like it"}
		case "there is no driver":
			h.Driver = nil
		case absent:
			h.Stop, h.Start, h.Wipe, h.Corrupt = nil, nil, nil, nil
			h.Without = map[discoverytest.Feature]string{
				discoverytest.Outage: "this is a test of Without", discoverytest.Wipe: "as above", discoverytest.Corrupt: "as above",
			}
		}
		return h
	})
}

func TestSuiteFailsADriverThatDoesNot(t *testing.T) {
	faults := map[string]string{ // fault -> a test that notices it
		"IDs differ in case only":         "odd_IDs",
		"services share their IDs":        "services_do_not_see_each_other",
		"an ended context is ignored":     "attempts_with_a_context_that_has_ended",
		"names are not validated":         "names_that_are_not_allowed",
		"metadata is lost":                "an_instance_is_seen",
		"Check never misses anything":     "an_instance_is_seen",
		"an outage looks like a loss":     "an_outage_is_an_error",
		"deregistering twice is an error": "an_instance_is_seen",
		"Deregister does nothing":         "an_instance_is_seen",
		"unknown parameters are ignored":  "an_unknown_parameter",
		"a goroutine is left behind":      "cancellation_ends_a_watch",
		"an outage is an empty list":      "an_outage_is_an_error",
		"changes are not seen":            "two_watches_are_independent",
		"Watch returns nil":               "cancellation_ends_a_watch",
		"cancellation is ignored":         "cancellation_ends_a_watch",
		"garbage spoils the list":         "an_unreadable_entry",
		"a feature is left out":           "a_registration_comes_back_after_a_wipe",
		"a feature is there and left out": "a_registration_comes_back_after_a_wipe",
		"there is no driver":              "an_instance_is_seen",
	}
	for f, noticed := range faults {
		t.Run(f, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaulty$/"+noticed)
			cmd.Env = append(os.Environ(), faultVariable+"="+f)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("the suite passed:\n%s", out)
			}
			if !strings.Contains(string(out), "--- FAIL: TestFaulty/"+noticed) {
				t.Errorf("%s did not notice it:\n%s", noticed, out)
			}
		})
	}
}

// absent is what a child leaves out with a reason for it.
const absent = "features are left out for a reason"

func TestFeatureThatIsAbsentForAReasonIsSkipped(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaulty$", "-test.v")
	cmd.Env = append(os.Environ(), faultVariable+"="+absent)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the suite failed: %v\n%s", err, out)
	}
	for _, name := range []string{
		"an_outage_is_an_error_and_never_an_empty_list", "a_registration_survives_an_outage_at_start",
		"a_registration_comes_back_after_a_wipe", "an_unreadable_entry_does_not_spoil_the_others",
	} {
		if !strings.Contains(string(out), "--- SKIP: TestFaulty/"+name) {
			t.Errorf("%s was not skipped:\n%s", name, out)
		}
	}
}
