package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// tableHead is the head of the table on the terminal.
const tableHead = "%-15s %-8s %4s %9s %7s %6s %9s %9s %8s %8s %8s %8s  %s\n"

// Head prints the head of the table.
func Head(w io.Writer) {
	fmt.Fprintf(w, tableHead, "fault", "result", "seed", "calls", "failed", "retry", "all", "hedged", "p99 bef", "p99 dur", "out", "back", "recovered")
}

// Line prints a result as one line of the table.
func (r *Result) Line(w io.Writer) {
	if r.Skipped != "" {
		fmt.Fprintf(w, "%-15s %-8s %s\n", r.Row, r.Word(), r.Skipped)
		return
	}
	if r.All.Calls == 0 {
		fmt.Fprintf(w, "%-15s %-8s %4d %s\n", r.Row, r.Word(), r.Seed, strings.Join(r.Facts, "; "))
		return
	}
	fmt.Fprintf(w, tableHead, r.Row, r.Word(), fmt.Sprint(r.Seed), fmt.Sprint(r.All.Calls), fmt.Sprint(r.All.Failed),
		fmt.Sprintf("%.3f", float64(r.Attempts)/float64(r.All.Calls)), share(r.All), share(r.Hedged),
		brief(r.All.Before.P99), brief(r.All.During.P99), maybe(r.out()), maybe(r.Back), maybe(r.Recovery))
}

// Details prints what failed, and with everything also what held.
func (r *Result) Details(w io.Writer, everything bool) {
	for _, v := range r.Verdicts {
		word := "  ok    "
		switch {
		case !v.OK && v.Timed && !r.Full:
			word = "  slow  " // not enforced in the short form
		case !v.OK:
			word = "  FAILED"
		case !everything:
			continue
		}
		fmt.Fprintf(w, "%s %s: %s\n", word, v.Name, v.Detail)
		for _, f := range v.Faults {
			fmt.Fprintf(w, "           %s\n", cut(f, 600))
		}
	}
	if !everything {
		return
	}
	for _, c := range r.Classes {
		fmt.Fprintf(w, "         %6d %s, %d failed; p99 %s before, %s during, %s after\n", c.Calls, c.Name, c.Failed, brief(c.Before.P99), brief(c.During.P99), brief(c.After.P99))
	}
	for _, f := range r.Failures {
		fmt.Fprintf(w, "         failed: %s\n", cut(f, 600))
	}
	for _, code := range slices.Sorted(maps.Keys(r.Codes)) {
		fmt.Fprintf(w, "         %6d %s\n", r.Codes[code], code)
	}
	for _, s := range r.Streams {
		fmt.Fprintf(w, "         %s: %d changes, resumed %d times, the longest break %s %v\n", s.Name, s.Changes, s.Resumed, brief(s.Longest), s.Ends)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
		fmt.Fprintf(w, "         %6.0f %s\n", r.Metrics[name], name)
	}
	for _, f := range r.Facts {
		fmt.Fprintf(w, "         %s\n", f)
	}
	fmt.Fprintf(w, "         own lag: calls began %s late at most (p99 %s), the process woke up %s late at most\n", brief(r.Lag.StartMax), brief(r.Lag.StartP99), brief(r.Lag.Worst))
}

func share(c Class) string {
	if c.Calls == 0 {
		return ""
	}
	return fmt.Sprintf("%.4f%%", 100*float64(c.Calls-c.Failed)/float64(c.Calls))
}

func maybe(d *time.Duration) string {
	if d == nil {
		return "-"
	}
	return brief(*d)
}

// brief writes a duration with three digits.
func brief(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.3gms", float64(d)/float64(time.Millisecond))
	case d == 0:
		return "0"
	}
	return fmt.Sprintf("%dµs", d.Microseconds())
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}
