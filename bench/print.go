package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// print writes the report as a table.
func (r *Report) print(w io.Writer) {
	fmt.Fprintf(w, "CPU and allocations, %s %s/%s, %d CPUs, medians of %d interleaved rounds of %s\n\n", r.Go, r.OS, r.Arch, r.CPUs, r.Rounds, r.Duration)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scenario\tbare\tkeelson\tratio\tallocations\tmore")
	for _, x := range r.Results {
		b, k := x.Variants[bare], x.Variants[chassis]
		fmt.Fprintf(t, "%s\t%s/%s\t%s/%s\t%.2f\t%.1f -> %.1f\t%+.1f\n", x.Scenario, micro(b.CPU), x.Unit, micro(k.CPU), x.Unit, x.Ratio, b.Allocs, k.Allocs, x.MoreAllocs)
	}
	_ = t.Flush() // the terminal went away
}

func micro(d time.Duration) string {
	return fmt.Sprintf("%.1fus", float64(d)/float64(time.Microsecond))
}
