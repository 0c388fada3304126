package internal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

const (
	// maxFiles is how many files may describe the services of one backend.
	maxFiles = 1000
	// maxMethods is how many methods a service may have. Each has metrics.
	maxMethods = 1000
	// maxDescriptorFile is the largest file of descriptors that is read.
	maxDescriptorFile = 64 << 20
)

// description is what is known of a service: its descriptor, and a digest of all
// the files that it comes from.
type description struct {
	protoreflect.ServiceDescriptor
	digest [sha256.Size]byte
}

// lacks returns the name of a method that another description has and this one
// has not; "" for none.
func (d description) lacks(other description) string {
	if other.ServiceDescriptor == nil {
		return ""
	}
	for i := range other.Methods().Len() {
		if name := other.Methods().Get(i).Name(); d.Methods().ByName(name) == nil {
			return string(name)
		}
	}
	return ""
}

// describedFiles are files that describe services. They come from others: what
// they say is believed only after it was checked.
type describedFiles struct {
	set   descriptorpb.FileDescriptorSet
	names map[string][]byte // what each came as
	size  int
	most  int // bytes

	// Up to here, all imports are there: of so many files, and so many of the
	// next one's.
	whole, imports int
}

func newDescribedFiles(most int) *describedFiles {
	return &describedFiles{names: map[string][]byte{}, most: most}
}

// add takes a marshaled FileDescriptorProto, and returns the names of files that
// it imports.
func (f *describedFiles) add(raw []byte) error {
	if f.size+len(raw) > f.most {
		return fmt.Errorf("the descriptors have more than %d bytes; raise reflection.max_size, or give them as a file (descriptors)", f.most)
	}
	file := &descriptorpb.FileDescriptorProto{}
	if err := proto.Unmarshal(raw, file); err != nil {
		return fmt.Errorf("read a file descriptor: %w", err)
	}
	switch before, twice := f.names[file.GetName()]; {
	case file.GetName() == "":
		return errors.New("read a file descriptor: it has no name")
	case twice && !bytes.Equal(before, raw):
		return fmt.Errorf("the file %q is described twice, and differently", file.GetName())
	case twice:
		return nil
	case len(f.set.GetFile()) >= maxFiles:
		return fmt.Errorf("more than %d files describe the services", maxFiles)
	}
	f.size += len(raw)
	f.names[file.GetName()] = raw
	f.set.File = append(f.set.File, file)
	return nil
}

// missing returns a file that one of the others imports and nobody has given, ""
// for none. Where a backend does not give Google's own types and options, those that
// are linked in are the same.
func (f *describedFiles) missing() string {
	for ; f.whole < len(f.set.GetFile()); f.whole, f.imports = f.whole+1, 0 {
		for all := f.set.GetFile()[f.whole].GetDependency(); f.imports < len(all); f.imports++ {
			if name := all[f.imports]; f.names[name] == nil {
				return name
			}
		}
	}
	return ""
}

// wellKnown adds a file of Google's that is linked in, such as google/protobuf/any.proto
// and google/api/annotations.proto.
func (f *describedFiles) wellKnown(name string) error {
	file, err := protoregistry.GlobalFiles.FindFileByPath(name)
	if err != nil || !strings.HasPrefix(name, "google/") {
		return fmt.Errorf("the file %q is imported, and not described; a file of descriptors needs its imports (protoc --include_imports, buf build), and reflection must know them", name)
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(protodesc.ToFileDescriptorProto(file))
	if err != nil {
		return fmt.Errorf("describe %s: %w", name, err)
	}
	return f.add(raw)
}

// services returns those of the wanted services that the files describe. All
// other services that are in the files are left out.
func (f *describedFiles) services(wanted []string) (map[string]description, error) {
	for name := f.missing(); name != ""; name = f.missing() {
		if err := f.wellKnown(name); err != nil {
			return nil, err
		}
	}
	files, err := protodesc.NewFiles(&f.set)
	if err != nil {
		return nil, fmt.Errorf("the descriptors are not valid: %w", err)
	}
	found := map[string]description{}
	for _, name := range wanted {
		d, err := files.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			continue
		}
		s, ok := d.(protoreflect.ServiceDescriptor)
		switch {
		case !ok:
			return nil, fmt.Errorf("%s is described, but is no service", name)
		case s.Methods().Len() > maxMethods:
			return nil, fmt.Errorf("%s has %d methods; at most %d can be exposed", name, s.Methods().Len(), maxMethods)
		}
		found[name] = description{&service{s, files}, f.digest(s.ParentFile())}
	}
	return found, nil
}

// service is a service with all files that it came with, in which the edge looks for
// the types of what is in an Any, such as details of errors.
type service struct {
	protoreflect.ServiceDescriptor
	files *protoregistry.Files
}

// Files are those that the service came with.
func (s *service) Files() *protoregistry.Files { return s.files }

// digest tells apart what describes a service: its file and all that it imports.
func (f *describedFiles) digest(file protoreflect.FileDescriptor) [sha256.Size]byte {
	hash := sha256.New()
	seen := map[string]bool{}
	var walk func(file protoreflect.FileDescriptor)
	walk = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		sum := sha256.Sum256(f.names[file.Path()])
		_, _ = hash.Write(sum[:]) // never fails
		for i := range file.Imports().Len() {
			walk(file.Imports().Get(i))
		}
	}
	walk(file)
	return [sha256.Size]byte(hash.Sum(nil))
}

// loadDescriptors reads the files that describe services, and returns those of
// the wanted ones that are in them. The first file that has a service counts; idle
// are files that have none.
func loadDescriptors(paths, wanted []string) (all map[string]description, idle []string, err error) {
	all = map[string]description{}
	for i, path := range paths {
		found, err := loadDescriptorFile(path, wanted)
		if err != nil {
			return nil, nil, fmt.Errorf("descriptors[%d]: %s: %w", i, path, err)
		}
		if len(found) == 0 {
			idle = append(idle, path)
		}
		for name, d := range found {
			if _, before := all[name]; !before {
				all[name] = d
			}
		}
	}
	return all, idle, nil
}

func loadDescriptorFile(path string, wanted []string) (map[string]description, error) {
	raw, err := os.ReadFile(path) //nolint:gosec // the configuration names it
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if len(raw) > maxDescriptorFile {
		return nil, fmt.Errorf("it has %d bytes; at most %d are taken", len(raw), maxDescriptorFile)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(raw, set); err != nil {
		return nil, fmt.Errorf("it is no FileDescriptorSet; make it with buf build -o, or protoc --include_imports --descriptor_set_out: %w", err)
	}
	if len(set.GetFile()) == 0 {
		return nil, errors.New("it has no file descriptors; make it with buf build -o, or protoc --include_imports --descriptor_set_out")
	}
	files := newDescribedFiles(maxDescriptorFile)
	for _, file := range set.GetFile() {
		one, err := proto.MarshalOptions{Deterministic: true}.Marshal(file)
		if err != nil {
			return nil, fmt.Errorf("read the file %q in it: %w", file.GetName(), err)
		}
		if err := files.add(one); err != nil {
			return nil, err
		}
	}
	return files.services(wanted)
}
