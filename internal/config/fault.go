package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	// Source is where it was given. A Validate method leaves it empty.
	Source Source
	// Path is the key with those above it, for example "grpc.tls.cert_file".
	Path string
	// Problem says what is wrong.
	Problem string
	// Valid says what would be right. It may be empty.
	Valid string
}

// Error gives "file:line:column: path: problem; valid".
func (f Fault) Error() string {
	var parts []string
	if f.Source.Kind != Default {
		parts = append(parts, f.Source.position())
	}
	if f.Path != "" {
		parts = append(parts, f.Path)
	}
	text := strings.Join(append(parts, f.Problem), ": ")
	if f.Valid != "" {
		text += "; " + f.Valid
	}
	return text
}

// ConfigPath gives Path, so that a Validate method may return a Fault.
func (f Fault) ConfigPath() string { return f.Path }

// Faults is every fault of a configuration, in the order of the layers and, in
// the file, of the lines.
type Faults []Fault

// Error gives one line for each fault.
func (fs Faults) Error() string {
	if len(fs) == 1 {
		return "configuration: " + fs[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "configuration: %d faults", len(fs))
	for _, f := range fs {
		b.WriteString("\n  " + f.Error())
	}
	return b.String()
}

// Unwrap gives each fault.
func (fs Faults) Unwrap() []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		errs[i] = f
	}
	return errs
}

// sorted orders faults by where they are and drops those said twice.
func (fs Faults) sorted() Faults {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		return cmp.Or(
			cmp.Compare(a.Source.Kind, b.Source.Kind),
			cmp.Compare(a.Source.Line, b.Source.Line),
			cmp.Compare(a.Source.Column, b.Source.Column),
		)
	})
	seen := map[Fault]bool{}
	return slices.DeleteFunc(fs, func(f Fault) bool {
		said := seen[f]
		seen[f] = true
		return said
	})
}
