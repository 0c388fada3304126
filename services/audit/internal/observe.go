package internal

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"

	"github.com/keelson-dev/keelson/services/audit/repository"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// digestSize is the length in bytes of the digest of one field.
const digestSize = 8

// subjectOf is what the history keeps of a user.
func subjectOf(u *userv1.User) repository.Subject {
	s := repository.Subject{
		UID: u.GetUid(), ID: strings.TrimPrefix(u.GetName(), userNames), ETag: u.GetEtag(),
		Deleted: u.GetDeleteTime() != nil, Suspended: u.GetState() == userv1.User_STATE_SUSPENDED,
	}
	labels := make([]string, 0, 2*len(u.GetLabels()))
	for _, key := range slices.Sorted(maps.Keys(u.GetLabels())) {
		labels = append(labels, key, u.GetLabels()[key])
	}
	// in the order of repository's fields
	for _, field := range [][]string{{u.GetDisplayName()}, {u.GetEmail()}, {u.GetFamilyName()}, {u.GetGivenName()}, labels} {
		s.Digest = append(s.Digest, digestOf(s.UID, field)...)
	}
	return s
}

// digestOf tells contents of a field apart. With the UID in it, which is random,
// equal contents of two users do not look equal.
func digestOf(uid string, parts []string) []byte {
	sum := sha256.New()
	for _, p := range append(parts, uid) {
		_, _ = sum.Write([]byte(p)) // never fails
		_, _ = sum.Write([]byte{0}) // which no text of a user contains
	}
	return sum.Sum(nil)[:digestSize]
}

// changedFields compares digests; none when they cannot be compared.
func changedFields(before, after []byte) (fields repository.Fields) {
	if len(before) != len(after) {
		return 0
	}
	for i := 0; i+digestSize <= len(after); i += digestSize {
		if !bytes.Equal(before[i:i+digestSize], after[i:i+digestSize]) {
			fields |= 1 << (i / digestSize)
		}
	}
	return fields
}

// difference says what happened to a user who was known as before, nil for one
// who was not known. Inferred: several changes may lie between; it is named for
// what the user has become.
func difference(before *repository.Subject, after repository.Subject, inferred bool) (repository.Kind, repository.Fields) {
	if before == nil {
		if !inferred {
			return repository.KindCreated, 0
		}
		before = &repository.Subject{}
		if !after.Deleted && !after.Suspended {
			return repository.KindCreated, 0
		}
	}
	switch {
	case after.Deleted && !before.Deleted:
		return repository.KindDeleted, 0
	case !after.Deleted && before.Deleted:
		return repository.KindUndeleted, 0
	case after.Suspended && !before.Suspended:
		return repository.KindSuspended, 0
	case !after.Suspended && before.Suspended:
		return repository.KindActivated, 0
	}
	return repository.KindUpdated, changedFields(before.Digest, after.Digest)
}

// page collects what a piece of the watch means for the history.
type page struct {
	inferred bool
	known    map[string]repository.Subject // before the piece, then as it goes
	kept     map[string]bool               // those of known that are to be stored
	gone     map[string]bool
	changes  []repository.Change
	repeats  int
}

func newPage(inferred bool, known map[string]repository.Subject) *page {
	return &page{inferred: inferred, known: known, kept: map[string]bool{}, gone: map[string]bool{}}
}

// see takes a user as a message shows it.
func (p *page) see(u *userv1.User, purged bool) {
	now := subjectOf(u)
	before, known := p.known[now.UID]
	change := repository.Change{UserID: now.ID, UserUID: now.UID, UserETag: now.ETag, Inferred: p.inferred}
	switch {
	case purged && !known: // it came and went unseen, or this was told before
		if !p.inferred {
			p.repeats++
		}
		return
	case purged:
		change.Kind = repository.KindPurged
		p.forget(now.UID)
	case known && before.ETag == now.ETag:
		p.keep(now)
		if !p.inferred { // comparing shows users who have not changed
			p.repeats++
		}
		return
	case known:
		change.Kind, change.Fields = difference(&before, now, p.inferred)
		p.keep(now)
	default:
		change.Kind, change.Fields = difference(nil, now, p.inferred)
		p.keep(now)
	}
	if !purged {
		change.ChangeTime = u.GetUpdateTime().AsTime()
	}
	p.changes = append(p.changes, change)
}

// miss takes a user who is known and not there any more.
func (p *page) miss(s repository.Subject) {
	p.forget(s.UID)
	p.changes = append(p.changes, repository.Change{
		Kind: repository.KindPurged, UserID: s.ID, UserUID: s.UID, UserETag: s.ETag, Inferred: true,
	})
}

func (p *page) keep(s repository.Subject) {
	p.known[s.UID], p.kept[s.UID] = s, true
	delete(p.gone, s.UID)
}

func (p *page) forget(uid string) {
	delete(p.known, uid)
	delete(p.kept, uid)
	p.gone[uid] = true
}

// batch is what is to be stored.
func (p *page) batch() repository.Batch {
	b := repository.Batch{Changes: p.changes, Gone: slices.Sorted(maps.Keys(p.gone))}
	for _, uid := range slices.Sorted(maps.Keys(p.kept)) {
		b.Known = append(b.Known, p.known[uid])
	}
	return b
}
