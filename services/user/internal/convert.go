package internal

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/repository"
)

// toProto is the user as callers see it. It shares the labels with u, which
// must not be changed afterwards. One that never was has nothing but its name.
func toProto(u *repository.User) *userv1.User {
	if u.UID == "" {
		return &userv1.User{Name: nameOf(u.ID)}
	}
	return &userv1.User{
		Name:        nameOf(u.ID),
		Uid:         u.UID,
		Etag:        etagOf(u),
		Email:       u.Email,
		DisplayName: u.DisplayName,
		GivenName:   u.GivenName,
		FamilyName:  u.FamilyName,
		Labels:      u.Labels,
		State:       stateToProto(u.State),
		CreateTime:  timeToProto(u.CreateTime),
		UpdateTime:  timeToProto(u.UpdateTime),
		DeleteTime:  timeToProto(u.DeleteTime),
		PurgeTime:   timeToProto(u.PurgeTime),
	}
}

func toProtos(users []repository.User) []*userv1.User {
	out := make([]*userv1.User, len(users))
	for i := range users {
		out[i] = toProto(&users[i])
	}
	return out
}

func stateToProto(s repository.State) userv1.User_State {
	switch s {
	case repository.StateActive:
		return userv1.User_STATE_ACTIVE
	case repository.StateSuspended:
		return userv1.User_STATE_SUSPENDED
	default:
		return userv1.User_STATE_UNSPECIFIED
	}
}

// timeToProto is nil for a time that is not set.
func timeToProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
