package platform

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// instance prepares the n-th instance of a shape, with its proxy.
func (p *Platform) instance(s Shape, n int) (*Instance, error) {
	port, err1 := p.ports.take()
	front, err2 := p.ports.take()
	ops, err3 := p.ports.take()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	i := &Instance{Service: "user", ID: fmt.Sprintf("user-%d", n+1), Port: port, Ops: ops, Address: fmt.Sprintf("127.0.0.1:%d", port), platform: p}
	i.Advertised = i.Address
	if n >= s.Users {
		i.Service, i.ID = "audit", fmt.Sprintf("audit-%d", n-s.Users+1)
	} else if s.Front != Direct {
		i.Advertised = fmt.Sprintf("127.0.0.1:%d", front)
		var err error
		if s.Front == TCP {
			i.TCP, err = newProxy(i.ID, front, port)
		} else {
			i.GRPC, err = newFaultyAt(front, port)
		}
		if err != nil {
			return nil, err
		}
	}
	i.program = p.programs[i.Service]
	store := p.Postgres.Port
	if s.StoreProxy {
		store = p.storePort
	}
	i.env = append(p.discovery(), "KEELSON_STORE__DRIVER=postgres", "KEELSON_STORE__POSTGRES__DSN="+p.Postgres.DSN(Database, store))
	i.env = append(i.env, strings.Fields(s.Env)...)
	return i, nil
}

// Spare prepares one more user instance, which is not part of the shape: the
// platform is scaled up. The caller stops it.
func (p *Platform) Spare() (*Instance, error) {
	port, err1 := p.ports.take()
	ops, err2 := p.ports.take()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	p.spares++
	address := fmt.Sprintf("127.0.0.1:%d", port)
	return &Instance{Service: "user", ID: fmt.Sprintf("user-spare-%d", p.spares), Port: port, Ops: ops, Address: address, Advertised: address,
		platform: p, program: p.programs["user"], env: p.users[0].env}, nil
}

// Lone prepares an instance of a service that nobody finds in a registry, with
// settings of its own. The caller stops it.
func (p *Platform) Lone(service string, env ...string) (*Instance, error) {
	port, err1 := p.ports.take()
	ops, err2 := p.ports.take()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	p.spares++
	address := fmt.Sprintf("127.0.0.1:%d", port)
	return &Instance{Service: service, ID: fmt.Sprintf("%s-lone-%d", service, p.spares), Port: port, Ops: ops, Address: address, Advertised: address,
		platform: p, program: p.programs[service], env: append([]string{"KEELSON_DISCOVERY__DRIVER=none"}, env...)}, nil
}

// discovery are the settings of the registry, as variables.
func (p *Platform) discovery() []string {
	if p.Consul == nil {
		return []string{"KEELSON_DISCOVERY__DRIVER=file", "KEELSON_DISCOVERY__FILE__DIR=" + p.registry()}
	}
	return []string{"KEELSON_DISCOVERY__DRIVER=consul", "KEELSON_DISCOVERY__CONSUL__ADDRESS=" + p.Consul.members[0].Address}
}

func (p *Platform) registry() string { return filepath.Join(p.Dir, "registry") }
