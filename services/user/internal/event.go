package internal

import (
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/repository"
)

// entry is one change in the log of the hub. All watchers share it, and with
// it the messages that it becomes: one for each type that a filter makes of it.
type entry struct {
	event repository.Event
	size  int // bytes, about
	user  func() *userv1.User
	msgs  [userv1.WatchUsersResponse_TYPE_DELETED + 1]atomic.Pointer[userv1.WatchUsersResponse]
}

// entryOverhead is what an entry takes beside the texts of its users.
const entryOverhead = 1024

func newEntry(e *repository.Event) *entry {
	n := &entry{event: *e}
	n.user = sync.OnceValue(func() *userv1.User { return toProto(&n.event.User) })
	n.size = entryOverhead + textSize(&e.User)
	if e.Before != nil {
		n.size += textSize(e.Before)
	}
	return n
}

func textSize(u *repository.User) int {
	n := len(u.ID) + len(u.Email) + len(u.EmailKey) + len(u.DisplayName) + len(u.GivenName) + len(u.FamilyName)
	for k, v := range u.Labels {
		n += len(k) + len(v) + 64
	}
	return n
}

// message is the event as a watcher sees it. The message is shared: it must not
// be changed.
func (e *entry) message(t userv1.WatchUsersResponse_Type, epoch [8]byte) *userv1.WatchUsersResponse {
	if m := e.msgs[t].Load(); m != nil {
		return m
	}
	m := &userv1.WatchUsersResponse{Type: t, User: e.user(), Revision: sealRevision(epoch, e.event.Revision)}
	proto.Size(m) // fills the message's size cache before it is shared
	e.msgs[t].Store(m)
	return m
}

// visibility is what one watcher may see.
type visibility struct {
	filter  repository.Filter // nil: all
	deleted bool
}

func (v visibility) sees(u *repository.User) bool {
	return (v.deleted || !u.Deleted()) && (v.filter == nil || v.filter.Match(u))
}

// typeOf says what a change is to a watcher: coming into view is ADDED, going
// out of view DELETED. TYPE_UNSPECIFIED is nothing.
func (v visibility) typeOf(e *repository.Event) userv1.WatchUsersResponse_Type {
	before := e.Before != nil && v.sees(e.Before)
	after := e.Kind != repository.EventPurged && v.sees(&e.User)
	switch {
	case before && after:
		return userv1.WatchUsersResponse_TYPE_MODIFIED
	case after:
		return userv1.WatchUsersResponse_TYPE_ADDED
	case before:
		return userv1.WatchUsersResponse_TYPE_DELETED
	}
	return userv1.WatchUsersResponse_TYPE_UNSPECIFIED
}
