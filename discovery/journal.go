package discovery

import (
	"log/slog"
	"time"

	"golang.org/x/time/rate"
)

const (
	// failedAgain is how often a registry that goes on to fail is told of in other words.
	failedAgain = time.Minute
	// lineEvery and lineBurst bound how often the log tells of one target or registration, whatever its registry does.
	lineEvery = 5 * time.Second
	lineBurst = 20
)

// journal tells the log what is decided about one target. What says nothing new is left out, and so is, after a burst, what comes too
// often; the next line says how many were. The metrics count all. One goroutine at a time.
type journal struct {
	lines
	kind   decision // the last one
	reason string
	at     time.Time // of the last line
	drops  string    // what was last said about entries that are left out
}

func newJournal(log *slog.Logger, target string) *journal {
	return &journal{lines: newLines(log.With("target", target))}
}

// decided tells of a decision.
func (j *journal) decided(d decision, reason string) {
	if !j.news(d, reason) && !j.due() {
		return
	}
	j.kind, j.reason = d, reason
	log := j.log.Warn
	switch d {
	case decisionAccepted, decisionUnchanged, decisionRemoved, decisionConfirmed, decisionRemembered:
		log = j.log.Info
	}
	if j.tell(log, "resolver decided", "decision", string(d), "reason", reason) {
		j.at = time.Now()
	}
}

// news tells what is not known from the line before. That nothing has changed is news only when the registry failed before.
func (j *journal) news(d decision, reason string) bool {
	failed := d == decisionKept || d == decisionError
	switch {
	case d != j.kind:
		return d != decisionUnchanged || j.kind == decisionKept
	case failed && time.Since(j.at) < failedAgain:
		return false
	}
	return reason != j.reason
}

// dropped tells which entries of an answer were left out, when they are others than last time.
func (j *journal) dropped(a answer) {
	reason := ""
	if err := a.reason(); err != nil {
		reason = err.Error()
	}
	if reason == "" || reason == j.drops || j.tell(j.log.Warn, "registry entries left out", "dropped", len(a.drops), "error", a.reason()) {
		j.drops = reason
	}
}

// lines writes to a log, and not too often. One goroutine at a time.
type lines struct {
	log  *slog.Logger
	pace *rate.Limiter
	lost int // since the last one that was written
}

func newLines(log *slog.Logger) lines {
	return lines{log: log, pace: rate.NewLimiter(rate.Every(lineEvery), lineBurst)}
}

// due reports whether it is time to tell where things stand, although that is no news: lines before were left out.
func (l *lines) due() bool { return l.lost > 0 && l.pace.Tokens() >= 1 }

// tell writes a line, and reports false when there were too many.
func (l *lines) tell(write func(string, ...any), msg string, args ...any) bool {
	if !l.pace.Allow() {
		l.lost++
		return false
	}
	if l.lost > 0 {
		args = append(args, "lines_left_out", l.lost)
		l.lost = 0
	}
	write(msg, args...)
	return true
}
