// Package repository holds the domain of the user service: the user, the
// errors of its rules, and the store that keeps it.
//
// The package knows nothing of gRPC, protobuf or any database. The stores are
// in the packages sqlite and postgres below it; repositorytest is the one
// suite that both pass.
package repository

import (
	"maps"
	"time"
)

// State says whether a user may act. Deletion is no state of its own: a
// soft-deleted user keeps its state and has a DeleteTime.
type State uint8

// The states of a user.
const (
	// StateActive is the state of a new user.
	StateActive State = 1
	// StateSuspended marks a user that an administrator has stopped.
	StateSuspended State = 2
)

// String returns the name of the state as the API spells it.
func (s State) String() string {
	switch s {
	case StateActive:
		return "ACTIVE"
	case StateSuspended:
		return "SUSPENDED"
	default:
		return "STATE_UNSPECIFIED"
	}
}

// User is one user as it is stored. All times are UTC with microseconds; a
// zero time means not set. Values are copies: changing one changes no store.
type User struct {
	// ID is the last part of the resource name: the {user} of users/{user}.
	ID string
	// UID is a UUID given by the store. A user that is created again under
	// the ID of a purged one has another UID.
	UID string
	// Version counts the changes of this UID from 1. UID and Version together
	// make the etag.
	Version int64
	// Email is the address as it was given.
	Email string
	// EmailKey is the address in Unicode NFC after case folding; it is unique
	// among users that are not deleted. The caller computes it; empty means
	// the user has no address, and any number of users may have none.
	EmailKey string
	// DisplayName is the name to show.
	DisplayName string
	// GivenName is the name a person was given.
	GivenName string
	// FamilyName is the name a person shares with the family.
	FamilyName string
	// Labels are free key-value pairs. Nil and empty are the same.
	Labels map[string]string
	// State is StateActive or StateSuspended.
	State State
	// CreateTime is when the store created the user.
	CreateTime time.Time
	// UpdateTime is when Version last grew.
	UpdateTime time.Time
	// DeleteTime is when the user was soft-deleted; zero for a live user.
	DeleteTime time.Time
	// PurgeTime is when a soft-deleted user may be removed for good.
	PurgeTime time.Time
}

// Deleted reports whether the user is soft-deleted.
func (u *User) Deleted() bool { return !u.DeleteTime.IsZero() }

// Clone returns a copy that shares nothing with u.
func (u *User) Clone() User {
	c := *u
	c.Labels = maps.Clone(u.Labels)
	return c
}

// SameContent reports whether a and b hold the same caller-given content and
// state: everything but ID, UID, Version and the times.
func SameContent(a, b *User) bool {
	return a.Email == b.Email && a.EmailKey == b.EmailKey && a.DisplayName == b.DisplayName &&
		a.GivenName == b.GivenName && a.FamilyName == b.FamilyName && a.State == b.State &&
		maps.Equal(a.Labels, b.Labels)
}
