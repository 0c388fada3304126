package internal

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/repository"
)

// The bounds of a user's content.
const (
	maxEmailBytes = 254 // RFC 5321
	maxText       = 128 // code points
	maxLabels     = 64
	maxLabelKey   = 63 // bytes
)

// contentOf normalises and checks what a caller may set of a user; v gets what
// is wrong, with paths below prefix ("user."). Output-only fields are ignored.
func contentOf(u *userv1.User, prefix string, v *violations) repository.User {
	out := repository.User{
		Email:       emailOf(u.GetEmail(), prefix+"email", v),
		DisplayName: textOf(u.GetDisplayName(), prefix+"display_name", v),
		GivenName:   textOf(u.GetGivenName(), prefix+"given_name", v),
		FamilyName:  textOf(u.GetFamilyName(), prefix+"family_name", v),
		Labels:      labelsOf(u.GetLabels(), prefix+"labels", v),
	}
	out.EmailKey = foldEmail(out.Email)
	return out
}

// textOf normalises a name to NFC and checks its length in code points
// (AIP-210).
func textOf(s, field string, v *violations) string {
	s = norm.NFC.String(s)
	switch {
	case !utf8.ValidString(s):
		v.add(field, "must be valid UTF-8")
	case utf8.RuneCountInString(s) > maxText:
		v.add(field, "must be at most %d code points after normalisation to NFC; has %d", maxText, utf8.RuneCountInString(s))
	case strings.ContainsFunc(s, unicode.IsControl):
		v.add(field, "must not contain control characters")
	}
	return s
}

// emailOf normalises an address and checks its outer form: local@domain. What
// lies within is for the mail system to accept.
func emailOf(s, field string, v *violations) string {
	s = norm.NFC.String(s)
	at := strings.LastIndexByte(s, '@')
	switch {
	case s == "":
		v.add(field, "must not be empty")
	case !utf8.ValidString(s):
		v.add(field, "must be valid UTF-8")
	case len(s) > maxEmailBytes:
		v.add(field, "must be at most %d bytes; has %d", maxEmailBytes, len(s))
	case at < 1 || at == len(s)-1 || strings.ContainsFunc(s, notInEmail):
		v.add(field, "must be an address like anna@example.com, without spaces")
	}
	return s
}

func notInEmail(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }

// foldEmail is the form in which addresses are compared: Unicode full case
// folding between normalisations, so that equivalent spellings are one
// (Unicode 3.13, canonical caseless matching).
func foldEmail(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return norm.NFC.String(cases.Fold().String(norm.NFD.String(s)))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func labelsOf(in map[string]string, field string, v *violations) map[string]string {
	if len(in) == 0 {
		return nil
	}
	if len(in) > maxLabels {
		v.add(field, "must be at most %d labels; has %d", maxLabels, len(in))
		return nil
	}
	out := make(map[string]string, len(in))
	for key, value := range in {
		if !validLabelKey(key) {
			v.add(field, "keys must be 1 to %d of a-z, 0-9, _ and -, beginning with a letter", maxLabelKey)
			continue
		}
		out[key] = textOf(value, field+"."+key, v)
	}
	return out
}

func validLabelKey(key string) bool {
	if key == "" || len(key) > maxLabelKey || key[0] < 'a' || key[0] > 'z' {
		return false
	}
	for i := range len(key) {
		c := key[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
