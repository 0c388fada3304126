package errs

// Draining returns the error with which a stream ends because its instance goes
// away: UNAVAILABLE, reason DRAINING, and the token (at most 1 KiB; may be
// empty) with which the client goes on at another instance. Clients get it with
// [ResumeToken].
func Draining(token string) error {
	e := Unavailable(ReasonDraining, "the instance is draining; open the stream again, it will reach another one")
	if token == "" {
		return e
	}
	return e.With(Meta(MetaResumeToken, token))
}

// ResumeToken returns the token in any error that carries one: DRAINING, or
// whatever else ended a stream that can be resumed.
func ResumeToken(err error) (token string, ok bool) {
	token = inChain(err).Meta(MetaResumeToken)
	return token, token != ""
}
