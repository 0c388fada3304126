package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/consul/api"
	"google.golang.org/grpc/resolver"
)

const scheme = "byhand"

// builder makes resolvers that ask Consul for the passing instances of a
// service, as tutorials write them.
type builder struct{ client *api.Client }

func (*builder) Scheme() string { return scheme }

func (b *builder) Build(target resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &watch{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.run(ctx, b.client, target.Endpoint(), cc)
	}()
	return r, nil
}

// watch follows one service.
type watch struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (w *watch) run(ctx context.Context, client *api.Client, service string, cc resolver.ClientConn) {
	var index uint64
	for ctx.Err() == nil {
		entries, meta, err := client.Health().Service(service, "", true, (&api.QueryOptions{WaitIndex: index}).WithContext(ctx))
		if err != nil {
			cc.ReportError(err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			continue
		}
		index = meta.LastIndex
		var addresses []resolver.Address
		for _, e := range entries {
			addresses = append(addresses, resolver.Address{Addr: fmt.Sprintf("%s:%d", e.Service.Address, e.Service.Port)})
		}
		_ = cc.UpdateState(resolver.State{Addresses: addresses}) // it tells the balancer itself
	}
}

func (*watch) ResolveNow(resolver.ResolveNowOptions) {}

func (w *watch) Close() {
	w.cancel()
	<-w.done
}
