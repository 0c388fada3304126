package logs

// Pretty appends one JSON line of ours as text for people.
func Pretty(dst, line []byte, color bool) []byte {
	return append(dst, line...)
}
