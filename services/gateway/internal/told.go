package internal

import (
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// toldStream tells the client of a stream its quota with the header of the first
// message, because the trailers may come after hours, and on HTTP come too late for
// a header. No header comes earlier for that: a stream without one has it in the
// trailers.
type toldStream struct {
	grpc.ServerStream
	told metadata.MD
	done atomic.Bool
}

// SendHeader sends what is told with it.
func (s *toldStream) SendHeader(md metadata.MD) error {
	if s.done.CompareAndSwap(false, true) {
		md = metadata.Join(md, s.told)
	}
	return s.ServerStream.SendHeader(md)
}

// SendMsg has the header of the first message say what is told.
func (s *toldStream) SendMsg(m any) error {
	if s.done.CompareAndSwap(false, true) {
		if err := s.SetHeader(s.told); err != nil {
			return err
		}
	}
	return s.ServerStream.SendMsg(m)
}

func (s *toldStream) end() {
	if s.done.CompareAndSwap(false, true) {
		s.SetTrailer(s.told)
	}
}
