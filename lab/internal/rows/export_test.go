package rows

// What tests of checks need.
var (
	NoneFailed      = noneFailed
	AtLeast         = atLeast
	Every           = every
	HedgedNeverFail = hedgedNeverFail
	LostAreInFlight = lostAreInFlight
	OutWithin       = outWithin
	ProbesOnly      = probesOnly
	NoTrafficAfter  = noTrafficAfter
	BackWithin      = backWithin
	ShareFalls      = shareFalls
	RecoveryWithin  = recoveryWithin
	AttemptsAtMost  = attemptsAtMost
	Enough          = enough
	NoStorm         = noStorm
	Calm            = calm
)
