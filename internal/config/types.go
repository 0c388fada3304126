package config

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, written "512", "64KiB", "4MiB" or "1GiB" (powers
// of 1024), or "64kB", "4MB", "1GB" (powers of 1000).
type Size int64

var sizeUnits = [...]struct {
	name string
	size Size
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// String uses the largest power of 1024 that divides the size.
func (s Size) String() string {
	for _, u := range sizeUnits[:3] {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText gives String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a whole number with an optional unit.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := strings.TrimSpace(string(text)), Size(1)
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(n), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is no size in bytes", text)
	}
	if n > math.MaxInt64/int64(unit) {
		return fmt.Errorf("%q is more than the largest size", text)
	}
	*s = Size(n) * unit
	return nil
}

// Secret is text that no log and no print shows. Reveal gives it.
type Secret string

const hidden = "***"

func (s Secret) mask() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Reveal gives the text.
func (s Secret) Reveal() string { return string(s) }

// String gives ***, or nothing if there is no text.
func (s Secret) String() string { return s.mask() }

// GoString gives what String gives, for %#v.
func (s Secret) GoString() string { return strconv.Quote(s.mask()) }

// Format gives what String gives, for every verb.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.mask()
	if verb == 'q' || (verb == 'v' && f.Flag('#')) {
		text = s.GoString()
	}
	// The state belongs to the caller, who sees its errors.
	_, _ = f.Write([]byte(text))
}

// MarshalText gives what String gives.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.mask()), nil }

// MarshalJSON gives what String gives, quoted.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(s.GoString()), nil }

// LogValue gives what String gives.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.mask()) }
