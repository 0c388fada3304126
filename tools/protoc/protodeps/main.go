// Command protodeps writes the .proto sources of the files that Keelson's own
// protos import, printed from the descriptors that are linked into the Go
// modules pinned in go.mod.
//
// It stands in for a schema registry: what the compiler reads is then exactly
// what the generated Go code links, at one version, from the Go module proxy.
//
// Usage: protodeps DIR
package main

import (
	"fmt"
	"os"

	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/protobuf/reflect/protoreflect"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
)

// roots are the files our protos import; what they import in turn is added,
// except google/protobuf, which every compiler brings along.
func roots() []protoreflect.FileDescriptor {
	return []protoreflect.FileDescriptor{
		annotations.File_google_api_annotations_proto,
		annotations.File_google_api_client_proto,
		annotations.File_google_api_field_behavior_proto,
		annotations.File_google_api_field_info_proto,
		annotations.File_google_api_resource_proto,
		errdetails.File_google_rpc_error_details_proto,
		status.File_google_rpc_status_proto,
		validate.File_buf_validate_validate_proto,
	}
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "protodeps:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one argument, the directory to write to; got %d", len(args))
	}
	printer := protoprint.Printer{Compact: true, SortElements: false}
	if err := printer.PrintProtosToFileSystem(closure(roots()), args[0]); err != nil {
		return fmt.Errorf("print protos to %s: %w", args[0], err)
	}
	return nil
}

// closure adds everything that files import, each file once, imports first.
func closure(files []protoreflect.FileDescriptor) []protoreflect.FileDescriptor {
	var out []protoreflect.FileDescriptor
	seen := map[string]bool{}
	var visit func(protoreflect.FileDescriptor)
	visit = func(fd protoreflect.FileDescriptor) {
		if seen[fd.Path()] || fd.Package() == "google.protobuf" {
			return
		}
		seen[fd.Path()] = true
		for i := range fd.Imports().Len() {
			visit(fd.Imports().Get(i).FileDescriptor)
		}
		out = append(out, fd)
	}
	for _, fd := range files {
		visit(fd)
	}
	return out
}
