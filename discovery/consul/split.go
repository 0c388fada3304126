package consul

import "bytes"

// split calls each with every element of a JSON array of objects. It finds where elements end and looks no further: whoever decodes an
// element finds out what is wrong in it. An array that is none, or has no end, is an error.
func split(body []byte, each func(raw []byte)) error {
	i := skipSpace(body, 0)
	if i == len(body) || body[i] != '[' {
		return faultf(kindMalformed, "answered with something that is no JSON list, beginning %q", body[:min(len(body), 40)])
	}
	i = skipSpace(body, i+1)
	if i < len(body) && body[i] == ']' {
		return ended(body, i+1)
	}
	for {
		end := object(body, i)
		if end < 0 {
			return faultf(kindMalformed, "answered with a JSON list that is broken or cut short at byte %d of %d", i, len(body))
		}
		each(body[i:end])
		i = skipSpace(body, end)
		switch {
		case i < len(body) && body[i] == ',':
			i = skipSpace(body, i+1)
		case i < len(body) && body[i] == ']':
			return ended(body, i+1)
		default:
			return faultf(kindMalformed, "answered with a JSON list that is broken or cut short at byte %d of %d", i, len(body))
		}
	}
}

// ended is nil when nothing but space follows.
func ended(body []byte, i int) error {
	if i = skipSpace(body, i); i < len(body) {
		return faultf(kindMalformed, "answered with a JSON list and something behind it at byte %d of %d", i, len(body))
	}
	return nil
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// object returns where the object that begins at i ends, or -1.
func object(b []byte, i int) int {
	if i >= len(b) || b[i] != '{' {
		return -1
	}
	for depth := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			if i = closing(b, i+1); i < 0 {
				return -1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// closing returns where the string whose content begins at i has its closing quote, or -1.
func closing(b []byte, i int) int {
	for {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		escapes := 0
		for b[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
		i++
	}
}
