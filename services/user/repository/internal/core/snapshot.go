package core

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// snapshot is how a user is kept in an event. Times are Unix microseconds.
type snapshot struct {
	ID          string            `json:"id"`
	UID         string            `json:"uid"`
	Version     int64             `json:"version"`
	Email       string            `json:"email,omitempty"`
	EmailKey    string            `json:"email_key,omitempty"`
	DisplayName string            `json:"display_name,omitempty"`
	GivenName   string            `json:"given_name,omitempty"`
	FamilyName  string            `json:"family_name,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	State       repository.State  `json:"state"`
	CreateTime  int64             `json:"create_time"`
	UpdateTime  int64             `json:"update_time"`
	DeleteTime  int64             `json:"delete_time,omitempty"`
	PurgeTime   int64             `json:"purge_time,omitempty"`
}

// EncodeUser returns the user as JSON.
func EncodeUser(u *repository.User) (string, error) {
	b, err := json.Marshal(snapshot{
		ID: u.ID, UID: u.UID, Version: u.Version, Email: u.Email, EmailKey: u.EmailKey,
		DisplayName: u.DisplayName, GivenName: u.GivenName, FamilyName: u.FamilyName,
		Labels: u.Labels, State: u.State,
		CreateTime: Micros(u.CreateTime), UpdateTime: Micros(u.UpdateTime),
		DeleteTime: Micros(u.DeleteTime), PurgeTime: Micros(u.PurgeTime),
	})
	if err != nil {
		return "", fmt.Errorf("encode user %s: %w", u.ID, err)
	}
	return string(b), nil
}

// EncodeBefore is EncodeUser for a user that may not be there: then nil.
func EncodeBefore(u *repository.User) (*string, error) {
	if u == nil {
		return nil, nil
	}
	s, err := EncodeUser(u)
	return &s, err
}

// DecodeUser reads what EncodeUser wrote.
func DecodeUser(text []byte) (repository.User, error) {
	var s snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		return repository.User{}, fmt.Errorf("decode a user of an event: %w", err)
	}
	return repository.User{
		ID: s.ID, UID: s.UID, Version: s.Version, Email: s.Email, EmailKey: s.EmailKey,
		DisplayName: s.DisplayName, GivenName: s.GivenName, FamilyName: s.FamilyName,
		Labels: s.Labels, State: s.State,
		CreateTime: FromMicros(s.CreateTime), UpdateTime: FromMicros(s.UpdateTime),
		DeleteTime: FromMicros(s.DeleteTime), PurgeTime: FromMicros(s.PurgeTime),
	}, nil
}

// DecodeEvent puts an event together from its stored parts.
func DecodeEvent(revision int64, kind repository.EventKind, at time.Time, after, before []byte) (repository.Event, error) {
	ev := repository.Event{Revision: revision, Kind: kind, Time: at}
	var err error
	if ev.User, err = DecodeUser(after); err != nil {
		return ev, err
	}
	if before != nil {
		u, err := DecodeUser(before)
		if err != nil {
			return ev, err
		}
		ev.Before = &u
	}
	return ev, nil
}

// EncodeLabels returns labels as a JSON object.
func EncodeLabels(labels map[string]string) (string, error) {
	if len(labels) == 0 {
		return "{}", nil
	}
	b, err := json.Marshal(labels)
	return string(b), err
}

// DecodeLabels reads a JSON object; an empty one is nil.
func DecodeLabels(text []byte) (map[string]string, error) {
	if len(text) == 0 || string(text) == "{}" {
		return nil, nil
	}
	var m map[string]string
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("decode labels: %w", err)
	}
	return m, nil
}

// Micros returns a time as Unix microseconds, 0 for the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// FromMicros is the inverse of Micros.
func FromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
