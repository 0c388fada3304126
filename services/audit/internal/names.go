package internal

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// nameTries is how often users are asked for when some were purged and the
// history does not know it yet: each answer names one of them.
const nameTries = 32

// nameUsers fills in the names that the users of the changes have now. It
// reports whether they could be had; a user without one does not count.
func (h *Handler) nameUsers(ctx context.Context, changes []*auditv1.Change) bool {
	limit := h.names.NamesTimeout
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	names, err := h.namesToShow(ctx, changes)
	if err != nil {
		h.metrics.nameless.Inc()
		h.log.DebugContext(ctx, "a list goes out without names", "error", err)
		return false
	}
	for _, c := range changes {
		c.UserDisplayName = names[c.GetUserUid()]
	}
	return true
}

// namesToShow returns the names to show by UID. Users that were purged, as far as
// the history knows, are not asked for: one that is not there would fail the
// answer for all.
func (h *Handler) namesToShow(ctx context.Context, changes []*auditv1.Change) (map[string]string, error) {
	uids := map[string]bool{}
	for _, c := range changes {
		if c.GetUserUid() != "" {
			uids[c.GetUserUid()] = true
		}
	}
	if len(uids) == 0 {
		return nil, nil
	}
	subjects, err := h.store.Subjects(ctx, slices.Collect(maps.Keys(uids)))
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, s := range subjects {
		ids[userNames+s.ID] = true
	}
	found, err := h.batchGet(ctx, slices.Sorted(maps.Keys(ids)))
	names := make(map[string]string, len(found))
	for _, u := range found {
		names[u.GetUid()] = u.GetDisplayName()
	}
	return names, err
}

// batchGet returns those of the users that exist.
func (h *Handler) batchGet(ctx context.Context, names []string) ([]*userv1.User, error) {
	for try := 1; len(names) > 0; try++ {
		resp, err := h.users.BatchGetUsers(ctx, &userv1.BatchGetUsersRequest{Names: names})
		if err == nil {
			return resp.GetUsers(), nil
		}
		e := errs.From(err)
		if e.Code() != codes.NotFound || try == nameTries {
			return nil, err
		}
		gone, bad := strconv.Atoi(e.Meta("index"))
		if bad != nil || gone < 0 || gone >= len(names) {
			return nil, err
		}
		names = slices.Delete(names, gone, gone+1)
	}
	return nil, nil
}
