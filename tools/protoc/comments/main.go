// Command comments keeps of the source info of a FileDescriptorSet the comments
// alone: a place without one tells nobody anything at run time, and most of a
// set is such places.
//
// Usage: comments <SET >SET
package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "comments:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	raw, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read the descriptor set: %w", err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(raw, &set); err != nil {
		return fmt.Errorf("read the descriptor set: %w", err)
	}
	for _, file := range set.GetFile() {
		strip(file)
	}
	raw, err = proto.MarshalOptions{Deterministic: true}.Marshal(&set)
	if err != nil {
		return fmt.Errorf("write the descriptor set: %w", err)
	}
	if _, err := out.Write(raw); err != nil {
		return fmt.Errorf("write the descriptor set: %w", err)
	}
	return nil
}

func strip(file *descriptorpb.FileDescriptorProto) {
	info := file.GetSourceCodeInfo()
	if info == nil {
		return
	}
	info.Location = slices.DeleteFunc(info.Location, func(l *descriptorpb.SourceCodeInfo_Location) bool {
		return l.LeadingComments == nil && l.TrailingComments == nil && len(l.GetLeadingDetachedComments()) == 0
	})
}
