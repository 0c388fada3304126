package history

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// Event is one change as a stream, or a table, showed it.
type Event struct {
	At time.Duration
	// Key is the user's name, Etag and Token are the user's after the change.
	Key, Etag, Token string
	// Deleted tells that the user is deleted after the change.
	Deleted bool
	// Revision is the position in the stream.
	Revision string
}

// Version is the number of the change within the life of its user, from 1, as
// the user service writes it at the end of an etag; 0 when there is none.
func (e Event) Version() int64 {
	text := strings.Trim(e.Etag, `"`)
	v, err := strconv.ParseInt(text[strings.LastIndexByte(text, '-')+1:], 36, 64)
	if err != nil {
		return 0
	}
	return v
}

// Break is one end of a stream that was resumed.
type Break struct {
	At      time.Duration
	Outcome string // code and reason
	// Back is when the resumed stream had its first message or was open again.
	Back time.Duration
}

// Stream is all that one consumer of changes saw, over all its resumptions. It
// is safe for concurrent use.
type Stream struct {
	Name string

	mu     sync.Mutex
	events []Event
	breaks []Break
	faults []string
}

// Add appends an event.
func (s *Stream) Add(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// Broke notes that the stream ended and is resumed.
func (s *Stream) Broke(b Break) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breaks = append(s.breaks, b)
}

// Fault notes something that must not happen, such as a revision that cannot be
// resumed.
func (s *Stream) Fault(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, text)
}

// Events returns what was seen so far.
func (s *Stream) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events[:len(s.events):len(s.events)]
}

// Breaks returns the ends of the stream so far.
func (s *Stream) Breaks() []Break {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.breaks[:len(s.breaks):len(s.breaks)]
}

// Faults returns what must not have happened.
func (s *Stream) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults[:len(s.faults):len(s.faults)]
}
