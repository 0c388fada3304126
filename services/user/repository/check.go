package repository

import (
	"strings"
	"unicode/utf8"
)

// CheckText returns an InvalidError naming field unless s is UTF-8 without
// NUL, which is what every store can keep.
func CheckText(field, s string) error {
	switch {
	case !utf8.ValidString(s):
		return &InvalidError{Field: field, Problem: "must be valid UTF-8"}
	case strings.IndexByte(s, 0) >= 0:
		return &InvalidError{Field: field, Problem: "must not contain the character U+0000"}
	}
	return nil
}

// Check returns an InvalidError for the first field that no store can keep:
// an empty ID, text that is not UTF-8 without NUL, a state that does not
// exist. A zero State is right: it means StateActive.
func (u *User) Check() error {
	if u.ID == "" {
		return &InvalidError{Field: "User.ID", Problem: "must not be empty"}
	}
	if u.State > StateSuspended {
		return &InvalidError{Field: "User.State", Problem: "must be StateActive or StateSuspended"}
	}
	for _, f := range [...]struct{ name, text string }{
		{"User.ID", u.ID}, {"User.Email", u.Email}, {"User.EmailKey", u.EmailKey},
		{"User.DisplayName", u.DisplayName}, {"User.GivenName", u.GivenName}, {"User.FamilyName", u.FamilyName},
	} {
		if err := CheckText(f.name, f.text); err != nil {
			return err
		}
	}
	for k, v := range u.Labels {
		if err := CheckText("User.Labels", k+v); err != nil {
			return err
		}
	}
	return nil
}
