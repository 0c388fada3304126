package internal

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/repository"
)

// change is what an update does: which fields of from it copies.
type change struct {
	from   repository.User
	paths  []string // email, display_name, given_name, family_name, labels
	labels []string // keys of single labels
}

// outputOnly reports whether a path names a field that callers cannot set;
// masks may name it, and it is ignored (AIP-134, AIP-203).
func outputOnly(path string) bool {
	field, _, _ := strings.Cut(path, ".")
	switch field {
	case "create_time", "update_time", "delete_time", "purge_time":
		return true
	}
	switch path {
	case "name", "uid", "etag", "state":
		return true
	}
	return false
}

func contentPaths() []string {
	return []string{"email", "display_name", "given_name", "family_name", "labels"}
}

// changeOf reads an update and its mask (AIP-134, AIP-161). Fields that the
// mask does not name are not even checked.
func changeOf(u *userv1.User, mask []string, v *violations) change {
	c := change{}
	switch {
	case len(mask) == 0:
		c.paths = populated(u)
	case len(mask) == 1 && mask[0] == "*":
		c.paths = contentPaths()
	default:
		for i, path := range mask {
			c.addPath(i, path, v)
		}
	}
	c.from = contentOf(c.only(u), "user.", v)
	return c
}

func (c *change) addPath(i int, path string, v *violations) {
	key, isLabel := strings.CutPrefix(path, "labels.")
	switch {
	case slices.Contains(contentPaths(), path):
		c.paths = append(c.paths, path)
	case isLabel && validLabelKey(unquoteKey(key)):
		c.labels = append(c.labels, unquoteKey(key))
	case outputOnly(path):
	case path == "*":
		v.add("update_mask", "* stands alone: it already means all fields")
	default:
		v.add("update_mask", "path %d%s is no field of a user; fields are %s and labels.{key}", i, quoteName(path), strings.Join(contentPaths(), ", "))
	}
}

// quoteName repeats a path that looks like a field, for the caller who has
// misspelt one. Others, such as the keys of labels, may hold personal data.
func quoteName(path string) string {
	const longest = 32
	if len(path) > longest || strings.Trim(path, "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", path)
}

// unquoteKey takes the backticks off a map key (AIP-161).
func unquoteKey(key string) string {
	if len(key) > 2 && key[0] == '`' && key[len(key)-1] == '`' {
		return key[1 : len(key)-1]
	}
	return key
}

// populated are the paths of the fields that are not empty.
func populated(u *userv1.User) []string {
	set := map[string]bool{
		"email": u.GetEmail() != "", "display_name": u.GetDisplayName() != "", "given_name": u.GetGivenName() != "",
		"family_name": u.GetFamilyName() != "", "labels": len(u.GetLabels()) > 0,
	}
	return slices.DeleteFunc(contentPaths(), func(p string) bool { return !set[p] })
}

// only is u with nothing but the fields to copy. An e-mail that is not copied
// is filled in so that it is not missed.
func (c *change) only(u *userv1.User) *userv1.User {
	out := &userv1.User{Email: "unchanged@invalid"}
	for _, path := range c.paths {
		switch path {
		case "email":
			out.Email = u.GetEmail()
		case "display_name":
			out.DisplayName = u.GetDisplayName()
		case "given_name":
			out.GivenName = u.GetGivenName()
		case "family_name":
			out.FamilyName = u.GetFamilyName()
		case "labels":
			out.Labels = u.GetLabels()
		}
	}
	if !slices.Contains(c.paths, "labels") && len(c.labels) > 0 {
		out.Labels = make(map[string]string, len(c.labels))
		for _, key := range c.labels {
			if value, ok := u.GetLabels()[key]; ok {
				out.Labels[key] = value
			}
		}
	}
	return out
}

// apply makes the change. It may be called more than once.
func (c *change) apply(u *repository.User) error {
	for _, path := range c.paths {
		switch path {
		case "email":
			u.Email, u.EmailKey = c.from.Email, c.from.EmailKey
		case "display_name":
			u.DisplayName = c.from.DisplayName
		case "given_name":
			u.GivenName = c.from.GivenName
		case "family_name":
			u.FamilyName = c.from.FamilyName
		case "labels":
			u.Labels = maps.Clone(c.from.Labels)
		}
	}
	return c.applyLabels(u)
}

func (c *change) applyLabels(u *repository.User) error {
	if len(c.labels) == 0 || slices.Contains(c.paths, "labels") {
		return nil
	}
	labels := maps.Clone(u.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	for _, key := range c.labels {
		if value, ok := c.from.Labels[key]; ok {
			labels[key] = value
		} else {
			delete(labels, key)
		}
	}
	if len(labels) > maxLabels {
		return invalid("user.labels", "must be at most %d labels; would have %d", maxLabels, len(labels))
	}
	u.Labels = labels
	return nil
}
