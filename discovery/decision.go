package discovery

// decision is what the resolver did with an answer, an error or a confirmation. The names are values of the metric label "decision" and of
// the field "kind" in /debug/keelson/targets.
type decision string

const (
	// decisionWaiting: the registry has not answered yet, and no list is known; calls wait. It counts when it takes longer than
	// Config.CacheWait.
	decisionWaiting decision = "waiting"
	// decisionAccepted: the answer is in effect; what it no longer names leaves within a moment.
	decisionAccepted decision = "accepted"
	// decisionUnchanged: nothing changed by it.
	decisionUnchanged decision = "unchanged"
	// decisionHeld: the answer took away all instances or half of them, or was stale; what it takes away is kept for now.
	decisionHeld decision = "held"
	// decisionRemoved: instances that the registry no longer names have left the list.
	decisionRemoved decision = "removed"
	// decisionConfirmed: held instances were dropped, as their connections confirmed that they are gone.
	decisionConfirmed decision = "confirmed"
	// decisionGone: the registry names no instance, and the connections of the kept ones confirm that none is left.
	decisionGone decision = "gone"
	// decisionKept: the registry failed; the last good list stays in effect.
	decisionKept decision = "kept"
	// decisionEmpty: the registry names no instance and never did; calls fail with that.
	decisionEmpty decision = "empty"
	// decisionFailing: the registry names instances, all of which fail their checks, and nothing else is known; they are in effect.
	decisionFailing decision = "failing"
	// decisionError: the registry failed and there is no last good list; calls fail with that.
	decisionError decision = "error"
	// decisionRemembered: the list that an earlier connection of this client used is in effect until the registry answers.
	decisionRemembered decision = "remembered"
	// decisionCached: the last good list of an earlier process is in effect until the registry answers.
	decisionCached decision = "cached"
)
