package keelson

import (
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/keelson-dev/keelson/internal/grpcx"
)

// reflect serves gRPC reflection of what the service serves itself and what it
// exposes, as it is at each question.
func (s *Service) reflect() {
	grpcx.Reflect(s.live.grpc, served{s}, known{s})
}

// served lists services.
type served struct{ service *Service }

// GetServiceInfo implements reflection.ServiceInfoProvider.
func (l served) GetServiceInfo() map[string]grpc.ServiceInfo {
	all := l.service.live.grpc.GetServiceInfo()
	for name, e := range *l.service.exposed.Load() {
		if e.desc != nil {
			all[name] = grpc.ServiceInfo{}
		}
	}
	return all
}

// known finds descriptors: those that are linked in, and those of exposed
// services with all that they import.
type known struct{ service *Service }

var _ protodesc.Resolver = known{}

// FindFileByPath implements protodesc.Resolver.
func (k known) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	for _, e := range *k.service.exposed.Load() {
		if e.desc == nil {
			continue
		}
		if f := fileAmong(e.desc.ParentFile(), path, map[string]bool{}); f != nil {
			return f, nil
		}
	}
	return protoregistry.GlobalFiles.FindFileByPath(path) //nolint:wrapcheck // reflection tells not found by it
}

// FindDescriptorByName implements protodesc.Resolver.
func (k known) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	for _, e := range *k.service.exposed.Load() {
		if e.desc == nil {
			continue
		}
		if d := descriptorAmong(e.desc.ParentFile(), name, map[string]bool{}); d != nil {
			return d, nil
		}
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name) //nolint:wrapcheck // as above
}

// fileAmong finds a file among one and all that it imports.
func fileAmong(f protoreflect.FileDescriptor, path string, seen map[string]bool) protoreflect.FileDescriptor {
	if seen[f.Path()] {
		return nil
	}
	seen[f.Path()] = true
	if f.Path() == path {
		return f
	}
	for i := range f.Imports().Len() {
		if found := fileAmong(f.Imports().Get(i).FileDescriptor, path, seen); found != nil {
			return found
		}
	}
	return nil
}

// descriptorAmong finds what is declared in a file or in those that it imports.
func descriptorAmong(f protoreflect.FileDescriptor, name protoreflect.FullName, seen map[string]bool) protoreflect.Descriptor {
	if seen[f.Path()] {
		return nil
	}
	seen[f.Path()] = true
	// Only a file of the name's package can declare it; looking is not cheap, and
	// anybody may ask.
	if strings.HasPrefix(string(name), string(f.Package())) {
		var own protoregistry.Files
		if own.RegisterFile(f) == nil {
			if d, err := own.FindDescriptorByName(name); err == nil {
				return d
			}
		}
	}
	for i := range f.Imports().Len() {
		if d := descriptorAmong(f.Imports().Get(i).FileDescriptor, name, seen); d != nil {
			return d
		}
	}
	return nil
}
