package internal

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/repository"
)

// maxBatch is the most names of a BatchGetUsers.
const maxBatch = 1000

// GetUser returns one user, also a deleted one (AIP-131, AIP-164).
func (h *Handler) GetUser(ctx context.Context, req *userv1.GetUserRequest) (*userv1.User, error) {
	id, err := parseName("name", req.GetName())
	if err != nil {
		return nil, err
	}
	u, err := h.store.Get(ctx, id)
	if err != nil {
		return nil, h.status(err)
	}
	return toProto(&u), nil
}

// BatchGetUsers returns all of the users or none (AIP-231).
func (h *Handler) BatchGetUsers(ctx context.Context, req *userv1.BatchGetUsersRequest) (*userv1.BatchGetUsersResponse, error) {
	ids, err := idsOf(req.GetNames())
	if err != nil {
		return nil, err
	}
	users, err := h.store.BatchGet(ctx, ids)
	if missing := (*repository.NotFoundError)(nil); errors.As(err, &missing) {
		e := h.errors(err)
		return nil, e.With(errs.Meta("index", strconv.Itoa(missing.Index)),
			errs.Field(fmt.Sprintf("names[%d]", missing.Index), ReasonUserNotFound, "the user does not exist"))
	}
	if err != nil {
		return nil, h.status(err)
	}
	return &userv1.BatchGetUsersResponse{Users: toProtos(users)}, nil
}

// idsOf returns the IDs in the names of a batch.
func idsOf(names []string) ([]string, error) {
	if len(names) == 0 || len(names) > maxBatch {
		return nil, invalid("names", "must be 1 to %d names; has %d", maxBatch, len(names))
	}
	var v violations
	ids := make([]string, len(names))
	for i, name := range names {
		var err error
		ids[i], err = parseName(fmt.Sprintf("names[%d]", i), name)
		if err = v.take(err); err != nil {
			return nil, err
		}
	}
	return ids, v.err()
}

// ListUsers returns one page (AIP-132, AIP-158, AIP-160).
func (h *Handler) ListUsers(ctx context.Context, req *userv1.ListUsersRequest) (*userv1.ListUsersResponse, error) {
	q, err := h.filters.queryOf(req)
	if err != nil {
		return nil, err
	}
	epoch, err := h.epochOf(ctx)
	if err != nil {
		return nil, h.status(err)
	}
	page, err := h.listSmall(ctx, q)
	if err != nil {
		return nil, h.status(err)
	}
	return &userv1.ListUsersResponse{
		Users:         toProtos(page.Users),
		NextPageToken: sealPage(req, page.Next),
		Revision:      sealRevision(epoch, page.Revision),
	}, nil
}

// maxPageBytes bounds a page, so that it fits into what any gRPC client takes
// by default (4 MiB).
const maxPageBytes = 3 << 20

// listSmall reads a page, with fewer users when they are so large that as many
// as were asked for do not fit into a message (AIP-158 allows it).
func (h *Handler) listSmall(ctx context.Context, q repository.Query) (repository.Page, error) {
	for {
		page, err := h.store.List(ctx, q)
		if err != nil || q.Limit == 1 {
			return page, err
		}
		size := 0
		for i := range page.Users {
			size += textSize(&page.Users[i])
		}
		if size <= maxPageBytes {
			return page, nil
		}
		q.Limit = max(1, min(q.Limit, len(page.Users))/2)
	}
}

func (p *filterParser) queryOf(req *userv1.ListUsersRequest) (repository.Query, error) {
	limit, badSize := pageSize(req.GetPageSize())
	filter, badFilter := p.parse("filter", req.GetFilter())
	order, parts, badOrder := parseOrder(req.GetOrderBy())
	var after []string
	var badToken error
	if badFilter == nil && badOrder == nil { // the token belongs to them
		after, badToken = openPage(req, parts)
	}
	var v violations
	for _, err := range []error{badSize, badFilter, badOrder, badToken} {
		if err := v.take(err); err != nil {
			return repository.Query{}, err
		}
	}
	return repository.Query{
		Filter: filter, Order: order, After: after, Limit: limit, ShowDeleted: req.GetShowDeleted(),
		// Who watches after a list begins at its first page: only that one
		// needs the revision to be exact.
		Exact: after == nil,
	}, v.err()
}
