// Package core holds what both stores share: what a write does to a user, how
// a user is written into an event, and how a query becomes SQL.
package core

import (
	"time"

	"github.com/google/uuid"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// OpKind is one of the writes of repository.Users.
type OpKind uint8

// The kinds of writes.
const (
	OpCreate OpKind = iota + 1
	OpUpdate
	OpDelete
	OpUndelete
	OpSetState
)

// Op is one write of one user, independent of any database.
type Op struct {
	Kind   OpKind
	ID     string
	Insert *repository.User             // OpCreate, and OpUpdate with allow_missing
	Mutate func(*repository.User) error // OpUpdate
	TTL    time.Duration                // OpDelete
	State  repository.State             // OpSetState
	Write  repository.Write
}

// Check returns the InvalidError of what can be judged without the database.
func (op *Op) Check() error {
	if r := op.Write.Request; r != nil {
		if r.ID == "" || len(r.Hash) > 64 {
			return &repository.InvalidError{Field: "Request", Problem: "must have an ID, and a Hash of at most 64 bytes"}
		}
		if err := repository.CheckText("Request", r.ID+r.Scope+r.Method); err != nil {
			return err
		}
	}
	if op.Kind == OpSetState && op.State != repository.StateActive && op.State != repository.StateSuspended {
		return &repository.InvalidError{Field: "State", Problem: "must be StateActive or StateSuspended"}
	}
	if op.Insert != nil {
		return op.Insert.Check()
	}
	return nil
}

// Effect is what a write does to the stored user.
type Effect struct {
	Result repository.Result
	Kind   repository.EventKind // 0: nothing changes
	Before *repository.User
}

// Apply decides what the write does to cur, which is nil when there is no
// such user.
func (op *Op) Apply(cur *repository.User, now time.Time) (Effect, error) {
	if op.Kind == OpCreate || op.Kind == OpUpdate && cur == nil && op.Insert != nil {
		return op.create(cur, now)
	}
	if op.Kind == OpDelete && op.Write.AllowMissing && (cur == nil || cur.Deleted()) {
		return op.nothing(cur), nil
	}
	if cur == nil {
		return Effect{}, &repository.NotFoundError{ID: op.ID}
	}
	if op.Kind != OpUndelete && cur.Deleted() {
		return Effect{}, &repository.DeletedError{Current: cur.Clone()}
	}
	if op.Kind == OpUndelete && !cur.Deleted() {
		return Effect{}, repository.ErrNotDeleted
	}
	if m := op.Write.Match; m != nil {
		shown := cur.Clone()
		if !m(&shown) {
			return Effect{}, &repository.VersionError{Current: cur.Clone()}
		}
	}
	return op.change(cur, now)
}

// nothing is a delete that finds nothing to delete.
func (op *Op) nothing(cur *repository.User) Effect {
	if cur == nil {
		cur = &repository.User{ID: op.ID}
	}
	return Effect{Result: repository.Result{User: cur.Clone()}}
}

func (op *Op) create(cur *repository.User, now time.Time) (Effect, error) {
	if cur != nil {
		return Effect{}, &repository.ExistsError{Field: repository.ConflictID, Value: cur.ID, Deleted: cur.Deleted()}
	}
	u, err := NewUser(op.Insert, now)
	if err != nil {
		return Effect{}, err
	}
	return Effect{
		Result: repository.Result{User: u, Created: op.Kind == OpUpdate, Changed: true},
		Kind:   repository.EventCreated,
	}, nil
}

// NewUser returns the user that is stored for what a caller wants to create.
func NewUser(in *repository.User, now time.Time) (repository.User, error) {
	uid, err := uuid.NewRandom()
	if err != nil {
		return repository.User{}, err
	}
	u := in.Clone()
	u.UID, u.Version = uid.String(), 1
	if u.State == 0 {
		u.State = repository.StateActive
	}
	if len(u.Labels) == 0 {
		u.Labels = nil
	}
	u.CreateTime, u.UpdateTime = now, now
	u.DeleteTime, u.PurgeTime = time.Time{}, time.Time{}
	return u, nil
}

func (op *Op) change(cur *repository.User, now time.Time) (Effect, error) {
	next := cur.Clone()
	kind := repository.EventUpdated
	switch op.Kind {
	case OpUpdate:
		if err := op.Mutate(&next); err != nil {
			return Effect{}, err
		}
		keepOutput(&next, cur)
		if err := next.Check(); err != nil {
			return Effect{}, err
		}
	case OpDelete:
		kind, next.DeleteTime, next.PurgeTime = repository.EventDeleted, now, now.Add(op.TTL).Truncate(time.Microsecond)
	case OpUndelete:
		kind, next.DeleteTime, next.PurgeTime = repository.EventUndeleted, time.Time{}, time.Time{}
	case OpSetState:
		next.State = op.State
	}
	if kind == repository.EventUpdated && repository.SameContent(&next, cur) {
		return Effect{Result: repository.Result{User: next}}, nil
	}
	next.Version++
	next.UpdateTime = now
	return Effect{Result: repository.Result{User: next, Changed: true}, Kind: kind, Before: cur}, nil
}

// keepOutput sets what a mutation must not change.
func keepOutput(next, cur *repository.User) {
	next.ID, next.UID, next.Version, next.State = cur.ID, cur.UID, cur.Version, cur.State
	next.CreateTime, next.UpdateTime = cur.CreateTime, cur.UpdateTime
	next.DeleteTime, next.PurgeTime = cur.DeleteTime, cur.PurgeTime
	if len(next.Labels) == 0 {
		next.Labels = nil
	}
}

// Finish makes the response to remember.
func (e *Effect) Finish(w *repository.Write) error {
	if w.Request == nil || w.Request.Response == nil {
		return nil
	}
	var err error
	e.Result.Response, err = w.Request.Response(e.Result)
	return err
}
