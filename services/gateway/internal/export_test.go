package internal

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Forwarded is what goes through of metadata.
func Forwarded(md metadata.MD) metadata.MD { return forwarded(md) }

// AddressOf names the host of an address.
func AddressOf(a net.Addr) string { return addressOf(a) }

// Describe reads file descriptors and returns how many methods each wanted service
// has.
func Describe(files [][]byte, most int, wanted ...string) (map[string]int, error) {
	f := newDescribedFiles(most)
	for _, raw := range files {
		if err := f.add(raw); err != nil {
			return nil, err
		}
	}
	found, err := f.services(wanted)
	return methods(found), err
}

// Asker asks by reflection, again and again.
type Asker struct{ asker }

// Ask asks once.
func (a *Asker) Ask(ctx context.Context, conn grpc.ClientConnInterface, most int, wanted ...string) (map[string]int, error) {
	found, err := a.ask(ctx, conn, wanted, most)
	return methods(found), err
}

func methods(found map[string]description) map[string]int {
	n := map[string]int{}
	for name, d := range found {
		n[name] = d.Methods().Len()
	}
	return n
}
