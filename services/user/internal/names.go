package internal

import (
	"strings"

	"github.com/google/uuid"
)

const collection = "users/"

// The bounds of an ID, in bytes (AIP-122, RFC 1034).
const minID, maxID = 4, 63

const idHint = "must be 4 to 63 of a-z, 0-9 and hyphen, begin with a letter and not end with a hyphen"

// nameOf is the resource name of an ID.
func nameOf(id string) string { return collection + id }

// parseName returns the ID in a resource name, or INVALID_ARGUMENT for field.
func parseName(field, name string) (string, error) {
	id, ok := strings.CutPrefix(name, collection)
	switch {
	case name == "":
		return "", invalid(field, "must not be empty; it is like users/anna-7")
	case !ok || !validID(id):
		return "", invalid(field, "must be users/{user}, where {user} %s", idHint)
	}
	return id, nil
}

func validID(id string) bool {
	if len(id) < minID || len(id) > maxID || id[0] < 'a' || id[0] > 'z' || id[len(id)-1] == '-' {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// newID makes an ID for a user whose caller chose none: `u-` and a UUID in the
// order of time, so that imports append to the store's indexes.
func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	return "u-" + id.String(), nil
}

// checkRequestID returns INVALID_ARGUMENT unless id is empty or a UUID4
// (AIP-155).
func checkRequestID(id string) error {
	if id == "" {
		return nil
	}
	u, err := uuid.Parse(id)
	if err != nil || len(id) != 36 || u.Version() != 4 || u.Variant() != uuid.RFC4122 {
		return invalid("request_id", "must be a UUID of version 4, such as 5f9c2b1e-8d4a-4c63-9a57-0d1e2f3a4b5c")
	}
	return nil
}
