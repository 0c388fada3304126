package call

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jhump/protoreflect/v2/grpcreflect"
	"github.com/jhump/protoreflect/v2/protoresolve"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/keelson-dev/keelson/errs"
)

// types finds message and extension types by name, for Any and extensions.
type types interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

// Schema is what is known of a server's methods and messages.
type Schema struct {
	// Services are those that the server declares.
	Services []protoreflect.ServiceDescriptor
	types    types
	close    func()
}

// Close ends the reflection stream, if there is one.
func (s *Schema) Close() {
	if s.close != nil {
		s.close()
	}
}

// Reflect asks a server what it serves. The schema is good until the context
// ends or it is closed.
func Reflect(ctx context.Context, conn grpc.ClientConnInterface) (*Schema, error) {
	client := grpcreflect.NewClientAuto(ctx, conn, grpcreflect.WithAllowMissingFileDescriptors())
	s := &Schema{close: client.Reset, types: withLinked{protoresolve.TypesFromResolver(client.AsResolver())}}
	names, err := client.ListServices()
	if err != nil {
		s.Close()
		if errs.Code(err) == codes.Unimplemented {
			return nil, errors.New("ask the server for its methods: it serves no reflection; set grpc.reflection to true on it, or give --descriptor-set FILE")
		}
		return nil, fmt.Errorf("ask the server for its methods: %w", err)
	}
	var faults []error
	for _, name := range names {
		d, err := client.AsResolver().FindDescriptorByName(name)
		if service, ok := d.(protoreflect.ServiceDescriptor); ok {
			s.Services = append(s.Services, service)
			continue
		}
		faults = append(faults, fmt.Errorf("ask the server for %s: %w", name, err))
	}
	if len(s.Services) == 0 {
		s.Close()
		return nil, errors.Join(faults...)
	}
	return s, nil
}

// ReadDescriptorSet reads a file that protoc --descriptor_set_out
// --include_imports, or buf build -o, has written.
func ReadDescriptorSet(path string) (*Schema, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the descriptor set: %w", err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(raw, set); err != nil {
		return nil, fmt.Errorf("read the descriptor set %s: it is no google.protobuf.FileDescriptorSet (make one with buf build -o, or protoc --include_imports --descriptor_set_out): %w", path, err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("read the descriptor set %s: %w; is it made with --include_imports?", path, err)
	}
	s := &Schema{types: withLinked{dynamicpb.NewTypes(files)}}
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s.Services = append(s.Services, f.Services().Get(i))
		}
		return true
	})
	return s, nil
}

// withLinked falls back to the types that are linked into this program, such
// as the details of errors, which servers need not declare.
type withLinked struct{ types }

// FindMessageByName implements protoregistry.MessageTypeResolver.
func (w withLinked) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if t, err := protoregistry.GlobalTypes.FindMessageByName(name); err == nil && wellKnown(name) {
		return t, nil
	}
	if t, err := w.types.FindMessageByName(name); err == nil {
		return t, nil
	}
	return protoregistry.GlobalTypes.FindMessageByName(name)
}

// FindMessageByURL implements protoregistry.MessageTypeResolver.
func (w withLinked) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	name := protoreflect.FullName(url)
	for i := len(url) - 1; i >= 0; i-- {
		if url[i] == '/' {
			name = protoreflect.FullName(url[i+1:])
			break
		}
	}
	return w.FindMessageByName(name)
}

// wellKnown tells that a type never differs between two programs: asking the
// server for it would only take time.
func wellKnown(name protoreflect.FullName) bool {
	p := name.Parent()
	return p == "google.rpc" || p == "google.protobuf"
}
