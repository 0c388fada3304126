package up

import (
	"io"
	"maps"
	"slices"
	"time"
)

// What the external tests need of the inside.

// EnvironmentOf is File.environment.
func EnvironmentOf(f *File, s *Service, base []string, id, registry string) []string {
	return f.environment(base, s, id, registry)
}

// NewLineWriter is newLineWriter.
func NewLineWriter(service, id string, color, width int, colored bool, emit func([]byte, time.Time)) io.Writer {
	return newLineWriter(service, id, color, width, colored, emit)
}

// Flush is lineWriter.flush.
func Flush(w io.Writer) { w.(*lineWriter).flush() }

// Backoff is backoff.
func Backoff(n int) time.Duration { return backoff(n) }

// ParseSources is parseSources.
func ParseSources(r io.Reader) (dirs, embeds []string, err error) {
	s, err := parseSources(r)
	return slices.Sorted(maps.Keys(s.dirs)), slices.Sorted(maps.Keys(s.embeds)), err
}

// Knows is knows.
func Knows(config map[string]any, variable string) bool { return knows(config, variable) }
