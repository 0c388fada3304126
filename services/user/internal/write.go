package internal

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/repository"
)

// CreateUser creates a user (AIP-133).
func (h *Handler) CreateUser(ctx context.Context, req *userv1.CreateUserRequest) (*userv1.User, error) {
	u, w, err := parseCreate(req)
	if err != nil {
		return nil, err
	}
	return h.answer(h.store.Create(ctx, u, w))
}

func parseCreate(req *userv1.CreateUserRequest) (repository.User, repository.Write, error) {
	var v violations
	u, err := newUser(req.GetUser(), req.GetUserId(), "")
	if err = v.take(err); err != nil {
		return u, repository.Write{}, err
	}
	w, err := newWrite(userv1.UserService_CreateUser_FullMethodName, req, "")
	if err = v.take(err); err == nil {
		err = v.err()
	}
	return u, w, err
}

// newUser checks a user to create; id may be empty. prefix is put before the
// paths of fields.
func newUser(in *userv1.User, id, prefix string) (repository.User, error) {
	var v violations
	var u repository.User
	if in == nil {
		v.add(prefix+"user", "must be set")
	} else {
		u = contentOf(in, prefix+"user.", &v)
	}
	if id != "" && !validID(id) {
		v.add(prefix+"user_id", idHint)
	}
	if err := v.err(); err != nil {
		return repository.User{}, err
	}
	if u.ID = id; id == "" {
		var err error
		if u.ID, err = newID(); err != nil {
			return repository.User{}, err
		}
	}
	return u, nil
}

// UpdateUser changes the fields that the mask names (AIP-134).
func (h *Handler) UpdateUser(ctx context.Context, req *userv1.UpdateUserRequest) (*userv1.User, error) {
	id, c, w, err := parseUpdate(req)
	if err != nil {
		return nil, err
	}
	insert, missing := insertOf(req, id)
	res, err := h.store.Update(ctx, id, c.apply, insert, w)
	if missing != nil && errors.Is(err, repository.ErrNotFound) {
		return nil, missing
	}
	return h.answer(res, err)
}

func parseUpdate(req *userv1.UpdateUserRequest) (id string, c change, w repository.Write, err error) {
	var v violations
	if req.GetUser() == nil {
		v.add("user", "must be set")
	} else {
		id, err = parseName("user.name", req.GetUser().GetName())
		if err = v.take(err); err != nil {
			return "", c, w, err
		}
		c = changeOf(req.GetUser(), req.GetUpdateMask().GetPaths(), &v)
	}
	w, err = newWrite(userv1.UserService_UpdateUser_FullMethodName, req, req.GetUser().GetEtag())
	if err = v.take(err); err == nil {
		err = v.err()
	}
	return id, c, w, err
}

// insertOf is the user that allow_missing creates when there is none, or why it
// cannot.
func insertOf(req *userv1.UpdateUserRequest, id string) (*repository.User, error) {
	// An etag says that there was a user: when there is none now, it has been
	// purged, and is not to come back half by a stale update.
	if !req.GetAllowMissing() || req.GetUser().GetEtag() != "" {
		return nil, nil
	}
	u, err := newUser(req.GetUser(), id, "")
	if err != nil {
		return nil, err
	}
	return &u, nil
}

// DeleteUser deletes a user softly (AIP-135, AIP-164).
func (h *Handler) DeleteUser(ctx context.Context, req *userv1.DeleteUserRequest) (*userv1.User, error) {
	id, w, err := namedWrite(userv1.UserService_DeleteUser_FullMethodName, req)
	if err != nil {
		return nil, err
	}
	w.AllowMissing = req.GetAllowMissing()
	res, err := h.store.Delete(ctx, id, h.cfg.DeletedTTL, w)
	if errors.Is(err, repository.ErrDeleted) {
		err = errDeletedAlready(id)
	}
	return h.answer(res, err)
}

// UndeleteUser brings a deleted user back (AIP-164).
func (h *Handler) UndeleteUser(ctx context.Context, req *userv1.UndeleteUserRequest) (*userv1.User, error) {
	id, w, err := namedWrite(userv1.UserService_UndeleteUser_FullMethodName, req)
	if err != nil {
		return nil, err
	}
	res, err := h.store.Undelete(ctx, id, w)
	if errors.Is(err, repository.ErrNotDeleted) {
		err = errNotDeleted(id)
	}
	return h.answer(res, err)
}

// SuspendUser sets the state to SUSPENDED (AIP-216).
func (h *Handler) SuspendUser(ctx context.Context, req *userv1.SuspendUserRequest) (*userv1.User, error) {
	id, w, err := namedWrite(userv1.UserService_SuspendUser_FullMethodName, req)
	if err != nil {
		return nil, err
	}
	return h.answer(h.store.SetState(ctx, id, repository.StateSuspended, w))
}

// ActivateUser sets the state to ACTIVE (AIP-216).
func (h *Handler) ActivateUser(ctx context.Context, req *userv1.ActivateUserRequest) (*userv1.User, error) {
	id, w, err := namedWrite(userv1.UserService_ActivateUser_FullMethodName, req)
	if err != nil {
		return nil, err
	}
	return h.answer(h.store.SetState(ctx, id, repository.StateActive, w))
}

// namedRequest is what the writes of one existing user have in common.
type namedRequest interface {
	writeRequest
	GetName() string
	GetEtag() string
}

func namedWrite(method string, req namedRequest) (id string, w repository.Write, err error) {
	var v violations
	id, err = parseName("name", req.GetName())
	if err = v.take(err); err != nil {
		return "", w, err
	}
	w, err = newWrite(method, req, req.GetEtag())
	if err = v.take(err); err == nil {
		err = v.err()
	}
	return id, w, err
}

// answer is the user that a write returned, now or when the same request was
// done first.
func (h *Handler) answer(res repository.Result, err error) (*userv1.User, error) {
	if err != nil {
		return nil, h.status(err)
	}
	if !res.Replayed {
		return toProto(&res.User), nil
	}
	u := &userv1.User{}
	if err := proto.Unmarshal(res.Response, u); err != nil {
		return nil, err
	}
	return u, nil
}
