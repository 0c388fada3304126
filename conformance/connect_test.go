package conformance_test

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	processtest "github.com/keelson-dev/keelson/internal/testservers/process"
)

func TestPublicSuitePassesButForWhatIsKnown(t *testing.T) {
	runner := processtest.Tool(t, "..", "connectconformance")
	server := processtest.Build(t, ".", "./server")
	for _, at := range []struct {
		name string
		args []string
	}{{"native", []string{"-native"}}, {"edge", nil}} {
		t.Run(at.name, func(t *testing.T) {
			// What fails, and what fails or passes as it happens.
			list, flaky := at.name+"-known-failing.txt", at.name+"-known-flaky.txt"
			args := append([]string{"--mode", "server", "--conf", at.name + ".yaml", "--known-failing", "@" + list, "--known-flaky", "@" + flaky, "--", server}, at.args...)
			out, err := exec.CommandContext(t.Context(), runner, args...).CombinedOutput()
			results := string(out)
			t.Log(results[max(0, strings.LastIndex(results, "Total cases")):])
			if err != nil || !strings.Contains(results, "Total cases") {
				t.Errorf("%v:\n%s", err, failures(results))
			}
			checkReasons(t, results, append(readKnown(t, list), readKnown(t, flaky)...))
		})
	}
}

// failures returns what the runner says of cases that are not known to fail.
func failures(results string) string {
	var b strings.Builder
	show := false
	for line := range strings.Lines(results) {
		if !strings.HasPrefix(line, "\t") {
			show = strings.HasPrefix(line, "FAILED")
		}
		if show {
			b.WriteString(line)
		}
	}
	return b.String()
}

// known is one reason for which cases fail.
type known struct {
	says     *regexp.Regexp // what the runner says then, and nothing else
	patterns []*regexp.Regexp
}

// readKnown reads a list of cases that are known to fail. Those below a comment
// "says: REGEXP", up to the next one, may fail for that and for nothing else.
func readKnown(t *testing.T, name string) []known {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []known
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if says, ok := strings.CutPrefix(line, "# says: "); ok {
			all = append(all, known{says: regexp.MustCompile(says)})
		} else if line != "" && line[0] != '#' {
			if len(all) == 0 {
				t.Fatalf("%s: %s has no reason before it", name, line)
			}
			last := &all[len(all)-1]
			last.patterns = append(last.patterns, glob(line))
		}
	}
	return all
}

// glob makes a pattern of the runner a regular expression: ** is any number of
// names, * is one.
func glob(pattern string) *regexp.Regexp {
	text := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*\*/`, `(.*/)?`)
	text = strings.ReplaceAll(strings.ReplaceAll(text, `/\*\*`, `(/.*)?`), `\*`, `[^/]*`)
	return regexp.MustCompile("^" + text + "$")
}

var expected = regexp.MustCompile(`^INFO: (.*) failed \(as expected\):$`)

// checkReasons checks that cases which are known to fail do so for the reason that
// the list gives: what else is wrong with them would not be seen otherwise.
func checkReasons(t *testing.T, results string, reasons []known) {
	t.Helper()
	name := ""
	for line := range strings.Lines(results) {
		line = strings.TrimSuffix(line, "\n")
		if found := expected.FindStringSubmatch(line); found != nil {
			name = found[1]
		} else if !strings.HasPrefix(line, "\t") {
			name = ""
		} else if text := strings.TrimSpace(line); name != "" && text != "" && !explained(reasons, name, text) {
			t.Errorf("%s is known to fail, but not with: %s", name, text)
		}
	}
}

func explained(reasons []known, name, text string) bool {
	for _, r := range reasons {
		if !r.says.MatchString(text) {
			continue
		}
		for _, p := range r.patterns {
			if p.MatchString(name) {
				return true
			}
		}
	}
	return false
}
