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
	kind   decision // of the last line
	reason string
	at     time.Time
	drops  string // what was last said about entries that are left out
	lost   int    // lines since the last one
}

func newJournal(log *slog.Logger, target string) *journal {
	return &journal{log: log.With("target", target), pace: rate.NewLimiter(rate.Every(lineEvery), lineBurst)}
}

// decided tells of a decision. That nothing has changed is news only when the registry failed before.
func (j *journal) decided(d decision, reason string) {
	now, failed := time.Now(), d == decisionKept || d == decisionError
	switch {
	case d == j.kind && (reason == j.reason || failed && now.Sub(j.at) < failedAgain):
		return
	case d == decisionUnchanged && j.kind != decisionKept:
		return
	}
	j.kind, j.reason, j.at = d, reason, now
	log := j.log.Warn
	switch d {
	case decisionAccepted, decisionUnchanged, decisionRemoved, decisionConfirmed, decisionRemembered:
		log = j.log.Info
	}
	j.tell(log, "resolver decided", "decision", string(d), "reason", reason)
}

// dropped tells which entries of an answer were left out, when they are others than last time.
func (j *journal) dropped(a answer) {
	reason := ""
	if err := a.reason(); err != nil {
		reason = err.Error()
	}
	if reason != "" && reason != j.drops {
		j.tell(j.log.Warn, "registry entries left out", "dropped", len(a.drops), "error", a.reason())
	}
	j.drops = reason
}

func (j *journal) tell(log func(string, ...any), msg string, args ...any) {
	if !j.pace.Allow() {
		j.lost++
		return
	}
	if j.lost > 0 {
		args = append(args, "lines_left_out", j.lost)
		j.lost = 0
	}
	log(msg, args...)
}
