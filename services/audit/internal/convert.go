package internal

import (
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	"github.com/keelson-dev/keelson/services/audit/repository"
)

// The collections of resource names.
const (
	changeNames = "changes/"
	userNames   = "users/"
)

// toProto is the change as callers see it. Kinds have the same numbers here and
// there.
func toProto(c *repository.Change) *auditv1.Change {
	out := &auditv1.Change{
		Name:          changeNames + strconv.FormatInt(c.Position, 10),
		Position:      c.Position,
		Kind:          auditv1.Change_Kind(c.Kind),
		UserUid:       c.UserUID,
		UserEtag:      c.UserETag,
		ChangedFields: c.Fields.Names(),
		ChangeTime:    timestamppb.New(c.ChangeTime),
		RecordTime:    timestamppb.New(c.RecordTime),
		Inferred:      c.Inferred,
	}
	if c.UserID != "" {
		out.User = userNames + c.UserID
	}
	return out
}
