package internal

import (
	"sort"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/repository"
)

// initialPage is how many users of the initial state are read at once.
const initialPage = 500

// snapshot is the initial state as it was read: page by page in the order of
// IDs, each page as of a revision of its own.
type snapshot struct {
	pages []pageMark
}

// pageMark says up to which ID users were read as of a revision. The last one
// has no upper bound.
type pageMark struct {
	last     string
	open     bool // no upper bound
	revision int64
}

func (s *snapshot) add(p *repository.Page) {
	m := pageMark{open: p.Next == nil, revision: p.Revision}
	if !m.open {
		m.last = p.Next[0]
	}
	if n := len(s.pages); n > 0 && s.pages[n-1].revision == m.revision {
		s.pages[n-1] = m
		return
	}
	s.pages = append(s.pages, m)
}

// first and last are the revisions between which the pages were read.
func (s *snapshot) first() int64 { return s.pages[0].revision }

func (s *snapshot) last() int64 {
	last := s.pages[0].revision
	for _, p := range s.pages {
		last = max(last, p.revision)
	}
	return last
}

// shows reports whether the page that holds an ID was read after the revision.
func (s *snapshot) shows(id string, revision int64) bool {
	i := sort.Search(len(s.pages), func(i int) bool { return s.pages[i].open || id <= s.pages[i].last })
	return i < len(s.pages) && revision <= s.pages[i].revision
}

// sendInitial sends all users in view, then the changes that happened while
// they were read and that their pages do not show, then the bookmark. What the
// client has then is the collection as of the bookmark's revision.
func (w *watcher) sendInitial() error {
	s, err := w.sendPages()
	if err != nil {
		return err
	}
	for at := s.first(); at < s.last(); {
		events, err := w.readStore(at, feedBatch)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			break
		}
		if err := w.sendMissed(s, events); err != nil {
			return err
		}
		at = events[len(events)-1].Revision
	}
	w.after = s.last()
	if err := w.bookmark(true); err != nil {
		return err
	}
	w.moveTo(s.last())
	return nil
}

func (w *watcher) sendPages() (*snapshot, error) {
	s := &snapshot{}
	q := repository.Query{Filter: w.filter, ShowDeleted: w.deleted, Limit: initialPage, Exact: true}
	for {
		page, err := w.readPage(q)
		if err != nil {
			return nil, err
		}
		s.add(&page)
		out := make([]outgoing, len(page.Users))
		for i := range page.Users {
			out[i].msg = &userv1.WatchUsersResponse{Type: userv1.WatchUsersResponse_TYPE_ADDED, User: toProto(&page.Users[i])}
		}
		if err := w.deliver(out); err != nil {
			return nil, err
		}
		if err := w.ended(); err != nil {
			return nil, err
		}
		if q.After = page.Next; page.Next == nil {
			return s, nil
		}
	}
}

func (w *watcher) readPage(q repository.Query) (repository.Page, error) {
	if err := w.h.hub.acquire(w.ctx); err != nil {
		return repository.Page{}, err
	}
	defer w.h.hub.release()
	return w.h.store.List(w.ctx, q)
}

// sendMissed sends the events that belong to the initial state.
func (w *watcher) sendMissed(s *snapshot, events []repository.Event) error {
	var out []outgoing
	for i := range events {
		e := &events[i]
		if e.Revision > s.last() || s.shows(e.User.ID, e.Revision) {
			continue
		}
		if t := w.typeOf(e); t != userv1.WatchUsersResponse_TYPE_UNSPECIFIED {
			out = append(out, outgoing{msg: &userv1.WatchUsersResponse{Type: t, User: toProto(&e.User)}})
		}
	}
	if err := w.deliver(out); err != nil {
		return err
	}
	return w.ended()
}
