package discovery

import (
	"log/slog"
	"time"

	"golang.org/x/time/rate"
)

const (
	// failedAgain is how often a registry that goes on to fail is told of in other words.
	failedAgain = time.Minute
	// lineEvery and lineBurst bound how often the log tells of one target, whatever its registry does.
	lineEvery = 5 * time.Second
	lineBurst = 20
)

// journal tells the log what is decided about one target. What says nothing new is left out, and so is, after a burst, what comes too
// often; the next line says how many were. The metrics count all. One goroutine at a time.
type journal struct {
	log    *slog.Logger
	pace   *rate.Limiter
	kind   decision // the last one
	reason string
	at     time.Time // of the last line
	drops  string    // what was last said about entries that are left out
	lost   int       // lines since the last one
}

func newJournal(log *slog.Logger, target string) *journal {
	return &journal{log: log.With("target", target), pace: rate.NewLimiter(rate.Every(lineEvery), lineBurst)}
}

// decided tells of a decision.
func (j *journal) decided(d decision, reason string) {
	// What is no news tells where things stand, when lines before it were left out.
	if !j.news(d, reason) && (j.lost == 0 || j.pace.Tokens() < 1) {
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

// tell writes a line, if there were not too many.
func (j *journal) tell(log func(string, ...any), msg string, args ...any) bool {
	if !j.pace.Allow() {
		j.lost++
		return false
	}
	if j.lost > 0 {
		args = append(args, "lines_left_out", j.lost)
		j.lost = 0
	}
	log(msg, args...)
	return true
}
