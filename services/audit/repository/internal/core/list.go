// Package core holds what both stores share.
package core

import (
	"strings"
	"time"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

// Columns are those of a change, in the order in which both stores read them.
const Columns = "position, kind, user_id, user_uid, user_etag, fields, change_time, record_time, inferred"

// Dialect is what differs between the databases.
type Dialect struct {
	// Arg spells the n-th argument.
	Arg func(n int) string
	// Time is a time as an argument.
	Time func(t time.Time) any
}

// List returns the statement that answers a query. Each form of a query is one
// text, so that databases keep it prepared.
func List(d Dialect, q repository.Query) (text string, args []any) {
	var where []string
	only := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, condition+d.Arg(len(args)))
	}
	order := "position"
	switch {
	case !q.Desc:
		only("position > ", q.After)
	case q.After > 0:
		only("position < ", q.After)
	}
	if q.Desc {
		order = "position DESC"
	}
	if q.UserID != "" {
		only("user_id = ", q.UserID)
	}
	if !q.From.IsZero() {
		only("change_time >= ", d.Time(q.From))
	}
	if !q.To.IsZero() {
		only("change_time < ", d.Time(q.To))
	}
	text = "SELECT " + Columns + " FROM audit_changes"
	if len(where) > 0 {
		text += " WHERE " + strings.Join(where, " AND ")
	}
	args = append(args, q.Limit)
	return text + " ORDER BY " + order + " LIMIT " + d.Arg(len(args)), args
}
