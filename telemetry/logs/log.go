package logs

import (
	"log/slog"
	"math"
	"math/rand/v2"
	"sync/atomic"
)

// Config says who writes the log, and how much of it. The zero value works.
type Config struct {
	// Service, Version, Instance and Environment are on every line; empty ones
	// are left out.
	Service, Version, Instance, Environment string
	// Level is the lowest level that is written. Zero: info.
	Level slog.Level
	// Sample is the fraction of successful calls whose line is written, in
	// (0, 1]; failures always are. Zero: all; negative: none.
	Sample float64
}

// Log is a service's log. All methods are safe for concurrent use, and on a
// nil Log do nothing.
type Log struct {
	sink   *Sink
	level  slog.LevelVar
	sample atomic.Uint64 // successes are written below it
	static []byte        // the fields of Config, as they stand in a line
}

// New returns a log that writes to a sink.
func New(sink *Sink, cfg Config) *Log {
	l := &Log{sink: sink, static: []byte(`,"` + keyECS + `":"` + ecsVersion + `"`)}
	for _, f := range [][2]string{{keyService, cfg.Service}, {keyVersion, cfg.Version}, {keyNode, cfg.Instance}, {keyEnvironment, cfg.Environment}} {
		if f[1] != "" {
			l.static = appendStringField(l.static, f[0], f[1])
		}
	}
	l.level.Set(cfg.Level)
	if cfg.Sample == 0 {
		cfg.Sample = 1
	}
	l.SetSample(cfg.Sample)
	return l
}

// Level is the lowest level that is written; setting it takes effect at once.
func (l *Log) Level() *slog.LevelVar {
	if l == nil {
		return new(slog.LevelVar)
	}
	return &l.level
}

// SetSample sets the fraction of successful calls whose line is written; it is
// clamped to [0, 1] and takes effect with the next call.
func (l *Log) SetSample(fraction float64) {
	switch {
	case l == nil:
	case !(fraction > 0):
		l.sample.Store(0)
	case fraction >= 1:
		l.sample.Store(math.MaxUint64)
	default:
		l.sample.Store(uint64(fraction * (1 << 63) * 2))
	}
}

// sampled decides over the line of one successful call.
func (l *Log) sampled() bool {
	limit := l.sample.Load()
	return limit == math.MaxUint64 || limit != 0 && rand.Uint64() < limit
}

// Logger returns a logger over [Log.Handler].
func (l *Log) Logger() *slog.Logger { return slog.New(l.Handler()) }
