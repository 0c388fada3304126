package openapi

import (
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// comment returns the comment before a declaration, without the space that
// begins its lines; "" when the descriptors carry none.
func comment(d protoreflect.Descriptor) string {
	file := d.ParentFile()
	if file == nil {
		return ""
	}
	return clean(file.SourceLocations().ByDescriptor(d).LeadingComments)
}

// fileComment returns the comment before a file's syntax.
func fileComment(file protoreflect.FileDescriptor) string {
	const syntax = 12 // of FileDescriptorProto
	return clean(file.SourceLocations().ByPath(protoreflect.SourcePath{syntax}).LeadingComments)
}

func clean(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(strings.TrimPrefix(line, " "), " \t\r")
	}
	return strings.ToValidUTF8(strings.Trim(strings.Join(lines, "\n"), "\n"), "\uFFFD")
}

// firstSentence returns the first sentence of a text on one line, without its
// full stop.
func firstSentence(text string) string {
	text, _, _ = strings.Cut(text, "\n\n")
	text = strings.Join(strings.Fields(text), " ")
	for at := 0; ; {
		i := strings.Index(text[at:], ". ")
		if i < 0 {
			return strings.TrimSuffix(text, ".")
		}
		at += i + 2
		// "e.g. " ends no sentence; what does is followed by a capital letter.
		if next := text[at]; next < 'a' || next > 'z' {
			return text[:at-2]
		}
	}
}

// documentedError is an error that a method's comment names.
type documentedError struct{ code, reasons string }

var (
	errorsParagraph = regexp.MustCompile(`(?m)^Errors[^:\n]*:`)
	errorClause     = regexp.MustCompile(`\b(` + strings.Join(codeNames(), "|") + `)\b((?: [A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)*)`)
)

// documentedErrors reads the paragraphs of a method's comment that begin with
// "Errors": each names codes of google.rpc.Code, and after a code the reasons
// of its google.rpc.ErrorInfo.
func documentedErrors(text string) []documentedError {
	var found []documentedError
	for _, at := range errorsParagraph.FindAllStringIndex(text, -1) {
		paragraph, _, _ := strings.Cut(text[at[0]:], "\n\n")
		paragraph = strings.Join(strings.Fields(paragraph), " ")
		for _, m := range errorClause.FindAllStringSubmatch(paragraph, -1) {
			found = append(found, documentedError{m[1], strings.TrimSpace(m[2])})
		}
	}
	return found
}
