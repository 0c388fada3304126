package hedge

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// outputs are what one attempt fills in for its caller beside the reply, when
// another attempt fills in what the caller gave.
type outputs struct {
	headers, trailers []*metadata.MD // the caller's
	peers             []*peer.Peer

	header, trailer metadata.MD
	peer            peer.Peer
}

// instead returns the options of a call with the outputs in place of the
// caller's.
func (o *outputs) instead(opts []grpc.CallOption) []grpc.CallOption {
	mine := make([]grpc.CallOption, 0, len(opts)+3)
	for _, opt := range opts {
		switch opt := opt.(type) {
		case grpc.HeaderCallOption:
			o.headers = append(o.headers, opt.HeaderAddr)
		case grpc.TrailerCallOption:
			o.trailers = append(o.trailers, opt.TrailerAddr)
		case grpc.PeerCallOption:
			o.peers = append(o.peers, opt.PeerAddr)
		default:
			mine = append(mine, opt)
		}
	}
	if len(o.headers) > 0 {
		mine = append(mine, grpc.Header(&o.header))
	}
	if len(o.trailers) > 0 {
		mine = append(mine, grpc.Trailer(&o.trailer))
	}
	if len(o.peers) > 0 {
		mine = append(mine, grpc.Peer(&o.peer))
	}
	return mine
}

// adopt gives the caller what the attempt filled in.
func (o *outputs) adopt() {
	for _, p := range o.headers {
		*p = o.header
	}
	for _, p := range o.trailers {
		*p = o.trailer
	}
	for _, p := range o.peers {
		*p = o.peer
	}
}

// withoutOnFinish takes out the callbacks of the end of a call, which are called
// once and not for each attempt.
func withoutOnFinish(opts []grpc.CallOption) ([]grpc.CallOption, []func(error)) {
	found := 0
	for _, opt := range opts {
		if _, ok := opt.(grpc.OnFinishCallOption); ok {
			found++
		}
	}
	if found == 0 {
		return opts, nil
	}
	rest, finish := make([]grpc.CallOption, 0, len(opts)-found), make([]func(error), 0, found)
	for _, opt := range opts {
		if o, ok := opt.(grpc.OnFinishCallOption); ok {
			finish = append(finish, o.OnFinish)
			continue
		}
		rest = append(rest, opt)
	}
	return rest, finish
}
