package internal

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson"
	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
)

// routing is what the gateway calls, by what it dialled: the state of the target,
// nil while its client keeps no connections to it, and the gRPC services. Under
// "" stand those of the gateway itself.
type routing struct {
	targets map[string]*keelson.TargetState
	grpc    map[string][]*platformv1.GrpcService
}

func (p *Platform) routed(states []keelson.TargetState) routing {
	r := routing{targets: make(map[string]*keelson.TargetState), grpc: make(map[string][]*platformv1.GrpcService)}
	for i := range states {
		r.targets[states[i].Target] = &states[i]
	}
	descriptors := p.descriptors()
	forwarded := make(map[string]bool, len(p.from.Routes))
	for _, route := range p.from.Routes {
		t := p.resolve(route.Target, states)
		if _, known := r.targets[t]; !known {
			r.targets[t] = nil
		}
		forwarded[route.Service] = true
		r.grpc[t] = append(r.grpc[t], &platformv1.GrpcService{FullName: route.Service, Methods: methodsOf(descriptors[route.Service])})
	}
	for name, d := range descriptors {
		if !forwarded[name] {
			r.grpc[""] = append(r.grpc[""], &platformv1.GrpcService{FullName: name, Methods: methodsOf(d)})
		}
	}
	for _, list := range r.grpc {
		slices.SortFunc(list, func(a, b *platformv1.GrpcService) int { return strings.Compare(a.GetFullName(), b.GetFullName()) })
	}
	return r
}

// descriptors are those of all services that the gateway serves.
func (p *Platform) descriptors() map[string]protoreflect.ServiceDescriptor {
	known := make(map[string]protoreflect.ServiceDescriptor)
	if p.from.Contract == nil {
		return known
	}
	if c := p.from.Contract(); c != nil {
		for _, d := range c.Services {
			known[string(d.FullName())] = d
		}
	}
	return known
}

// resolve returns what the client made of what it was told to dial: a bare name or
// address has got a scheme. What was found out once is remembered for when the
// client keeps no connections.
func (p *Platform) resolve(dialled string, states []keelson.TargetState) string {
	for i := range states {
		if t := states[i].Target; t == dialled || strings.HasSuffix(t, ":///"+dialled) {
			p.resolved[dialled] = t
			return t
		}
	}
	return cmp.Or(p.resolved[dialled], dialled)
}

// platformName is the resource name of a service.
func platformName(id string) string { return "services/" + id }

// platformID is the last segment of the resource name: what was dialled, without
// its scheme and authority, in the letters that a name may have.
func platformID(target string) string {
	if _, path, ok := strings.Cut(target, ":///"); ok {
		target = path
	} else if _, path, ok := strings.Cut(target, "://"); ok {
		target = path[strings.LastIndexByte(path, '/')+1:]
	}
	target, _, _ = strings.Cut(target, "?")
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-' {
			return r
		}
		return '-'
	}, strings.Trim(target, "/"))
	if id == "" {
		id = "-"
	}
	return fmt.Sprintf("%.200s", id)
}

func digestOf(target string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(target)) // it cannot fail
	return h.Sum32()
}

// methodsOf describes a gRPC service; without a descriptor its methods are not
// known.
func methodsOf(d protoreflect.ServiceDescriptor) []*platformv1.Method {
	if d == nil {
		return nil
	}
	list := make([]*platformv1.Method, d.Methods().Len())
	for i := range list {
		m := d.Methods().Get(i)
		list[i] = &platformv1.Method{Name: string(m.Name()), ClientStreaming: m.IsStreamingClient(), ServerStreaming: m.IsStreamingServer()}
	}
	return list
}
