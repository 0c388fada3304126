package internal

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	"github.com/keelson-dev/keelson/services/audit/repository"
)

// The bounds of a page (AIP-158).
const (
	defaultPageSize = 50
	maxPageSize     = 1000
)

// GetChange returns one change (AIP-131).
func (h *Handler) GetChange(ctx context.Context, req *auditv1.GetChangeRequest) (*auditv1.Change, error) {
	position, err := strconv.ParseInt(strings.TrimPrefix(req.GetName(), changeNames), 10, 64)
	if err != nil {
		return nil, repository.ErrNotFound // a number that no history reaches
	}
	c, err := h.store.Get(ctx, position)
	if err != nil {
		return nil, err
	}
	return toProto(&c), nil
}

// ListChanges returns one page (AIP-132, AIP-158).
func (h *Handler) ListChanges(ctx context.Context, req *auditv1.ListChangesRequest) (*auditv1.ListChangesResponse, error) {
	q, err := queryOf(req)
	if err != nil {
		return nil, err
	}
	size := q.Limit
	q.Limit++ // one more tells whether there is a next page
	changes, err := h.store.List(ctx, q)
	if err != nil {
		return nil, err
	}
	resp := &auditv1.ListChangesResponse{}
	if len(changes) > size {
		changes = changes[:size]
		resp.NextPageToken = sealPage(q, changes[size-1].Position)
	}
	for i := range changes {
		resp.Changes = append(resp.Changes, toProto(&changes[i]))
	}
	resp.NamesMissing = !h.nameUsers(ctx, resp.GetChanges())
	return resp, ctx.Err()
}

// queryOf translates what a caller asked for. Rules for single fields stand in
// audit.proto.
func queryOf(req *auditv1.ListChangesRequest) (repository.Query, error) {
	var v violations
	q := repository.Query{UserID: strings.TrimPrefix(req.GetUser(), userNames), Limit: defaultPageSize}
	q.From = timeOf("start_time", req.GetStartTime(), &v)
	q.To = timeOf("end_time", req.GetEndTime(), &v)
	if req.GetEndTime().IsValid() && !startOf(req).Before(req.GetEndTime().AsTime()) {
		v.add("end_time", "must be after start_time")
	}
	if n := int(req.GetPageSize()); n > 0 {
		q.Limit = min(n, maxPageSize)
	}
	switch strings.Join(strings.Fields(req.GetOrderBy()), " ") {
	case "", "position":
	case "position desc":
		q.Desc = true
	default:
		v.add("order_by", "must be position, or position desc for the newest first")
	}
	if len(v) == 0 { // the token belongs to them
		openPage(&q, req.GetPageToken(), &v)
	}
	return q, v.err()
}

// startOf is when the time range of a request begins, at the latest the first
// time that there is.
func startOf(req *auditv1.ListChangesRequest) time.Time {
	if !req.GetStartTime().IsValid() {
		return time.Time{}
	}
	return req.GetStartTime().AsTime()
}

// timeOf is the time in microseconds, as the history has it: rounded up, so that
// a bound lies between the same changes. Absent, or no time at all, is the zero time.
func timeOf(field string, t *timestamppb.Timestamp, v *violations) time.Time {
	switch {
	case t == nil:
		return time.Time{}
	case !t.IsValid():
		v.add(field, "must be a time between the years 1 and 9999")
		return time.Time{}
	}
	return t.AsTime().Add(time.Microsecond - 1).Truncate(time.Microsecond)
}
