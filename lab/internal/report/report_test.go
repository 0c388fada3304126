package report_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/lab/internal/check"
	"github.com/keelson-dev/keelson/lab/internal/report"
)

func result(row string, seed uint64, verdicts ...check.Verdict) *report.Result {
	r := &report.Result{Row: row, Promise: "holds", Full: true, Seed: seed, Started: time.Unix(int64(seed), 0), Rate: 200, Attempts: 101, Verdicts: verdicts,
		All: report.Class{Name: "all", Calls: 100, Failed: 1, Lower: 0.9}, Classes: []report.Class{{Name: "get", Calls: 100, Failed: 1}}}
	r.Judge()
	return r
}

func TestJudging(t *testing.T) {
	good, bad, slow := check.Verdict{Name: "a", OK: true}, check.Verdict{Name: "b"}, check.Verdict{Name: "c", Timed: true}
	tests := []struct {
		name     string
		full     bool
		verdicts []check.Verdict
		want     bool
	}{
		{"nothing was checked", true, nil, false},
		{"all holds", true, []check.Verdict{good}, true},
		{"an invariant fails", false, []check.Verdict{good, bad}, false},
		{"too slow in the short form", false, []check.Verdict{good, slow}, true},
		{"too slow in the full form", true, []check.Verdict{good, slow}, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			r := &report.Result{Full: tc.full, Verdicts: tc.verdicts}
			if r.Judge(); r.OK != tc.want {
				t.Errorf("got %t", r.OK)
			}
		})
	}
}

func TestFilesAreReadAsTheyWereWritten(t *testing.T) {
	out := 3 * time.Second
	r := result("kill9", 1, check.Verdict{Name: "a", OK: true, Detail: "d"})
	r.Out = &out
	f := &report.File{Conditions: report.Conditions{Machine: "m", Cores: 2}, Results: []*report.Result{r}}
	name := filepath.Join(t.TempDir(), "r.json")
	if err := f.Write(name); err != nil {
		t.Fatal(err)
	}
	got, err := report.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f, got); diff != "" {
		t.Error(diff)
	}
}

func TestThePageHasEverySeedAndWhatFailed(t *testing.T) {
	files := []*report.File{
		{Results: []*report.Result{result("sigstop", 1, check.Verdict{Name: "x", OK: true}), {Row: "drop", Promise: "p", Skipped: "no iptables"}}},
		{Results: []*report.Result{result("rolling", 2, check.Verdict{Name: "no call fails", Detail: "1 of 100"}), result("rolling", 1, check.Verdict{Name: "x", OK: true})}},
	}
	brief := result("rolling", 1, check.Verdict{Name: "x", OK: true})
	brief.Full = false
	files = append(files, &report.File{Results: []*report.Result{brief}})
	var page bytes.Buffer
	if err := report.Markdown(&page, files, []string{"rolling", "sigstop", "drop"}); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	for _, want := range []string{
		"| [rolling](#rolling) | holds | full | 1 of 2 | 200 | 2 |", "| [rolling](#rolling) | holds | short | 1 of 1 | 100 | 1 |", "| [sigstop](#sigstop) | holds | full | 1 of 1 |", "SKIPPED: no iptables",
		"| 1 | ok | 200 | 100 | 1 | 99.0000% (90.0000%)", "| 2 | FAILED |", "- full, seed 2: no call fails: 1 of 100", "| get | 300 | 3 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Index(text, "## rolling") > strings.Index(text, "## sigstop") {
		t.Error("the rows are out of order")
	}
}

func TestTheLaterRunOfASeedCounts(t *testing.T) {
	early, late := result("a", 1, check.Verdict{}), result("a", 1, check.Verdict{OK: true})
	late.Started = late.Started.Add(time.Hour)
	var page bytes.Buffer
	if err := report.Markdown(&page, []*report.File{{Results: []*report.Result{late}}, {Results: []*report.Result{early}}}, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page.String(), "| 1 of 1 |") {
		t.Error(page.String())
	}
}

func TestTerminal(t *testing.T) {
	var out bytes.Buffer
	report.Head(&out)
	r := result("kill9", 7, check.Verdict{Name: "no call fails", Detail: "1 of 100", Faults: []string{"get users/a"}})
	r.Failures = []string{"get users/a was late"}
	r.Line(&out)
	r.Details(&out, false)
	r.Details(&out, true)
	if n := strings.Count(out.String(), r.Failures[0]); n != 1 {
		t.Errorf("a failure is shown %d times, among everything; want once", n)
	}
	for _, want := range []string{"fault", "kill9", "FAILED", "99.0000%", "no call fails: 1 of 100", "get users/a"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
}

func TestAFileOfResultsIsTriedWithoutLosingIt(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f.json")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := report.Writable(name); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(name); string(text) != "old" || err != nil {
		t.Errorf("the file has %q, %v; want what was in it", text, err)
	}
}
