package call

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// CodeName is the name of a code as the documentation of gRPC spells it.
func CodeName(c codes.Code) string {
	if name, ok := code.Code_name[int32(c)]; ok { //nolint:gosec // codes are small
		return name
	}
	return fmt.Sprintf("CODE(%d)", c)
}

// WriteFailure spells out a status with all its details, one fact per line.
func WriteFailure(w io.Writer, st *status.Status, correlationID string, types types) {
	fmt.Fprintf(w, "%s: %s\n", CodeName(st.Code()), st.Message())
	f := facts{types: types}
	for _, d := range st.Proto().GetDetails() {
		m, err := d.UnmarshalNew()
		if err != nil {
			f.add("detail", protojson.MarshalOptions{Resolver: types}.Format(d))
			continue
		}
		f.detail(m)
	}
	if !f.correlated && correlationID != "" {
		f.add("correlation", correlationID)
	}
	width := 0
	for _, l := range f.lines {
		width = max(width, len(l[0]))
	}
	for _, l := range f.lines {
		fmt.Fprintf(w, "  %-*s  %s\n", width, l[0], strings.ReplaceAll(l[1], "\n", "\n"+strings.Repeat(" ", width+4)))
	}
}

// facts are the lines below a status.
type facts struct {
	types      types
	lines      [][2]string
	correlated bool
}

func (f *facts) add(name, text string) { f.lines = append(f.lines, [2]string{name, text}) }

// detail adds what one detail says.
func (f *facts) detail(m proto.Message) {
	switch d := m.(type) {
	case *errdetails.ErrorInfo:
		f.add("reason", d.GetReason())
		if d.GetDomain() != "" {
			f.add("domain", d.GetDomain())
		}
		for _, k := range sorted(d.GetMetadata()) {
			f.add("metadata", k+" = "+d.GetMetadata()[k])
		}
	case *errdetails.BadRequest:
		for _, v := range d.GetFieldViolations() {
			f.add("field", v.GetField()+": "+v.GetDescription()+inParentheses(v.GetReason()))
		}
	case *errdetails.PreconditionFailure:
		for _, v := range d.GetViolations() {
			f.add("precondition", v.GetType()+" "+v.GetSubject()+": "+v.GetDescription())
		}
	case *errdetails.QuotaFailure:
		for _, v := range d.GetViolations() {
			f.add("quota", v.GetSubject()+": "+v.GetDescription())
		}
	case *errdetails.RetryInfo:
		f.add("retry after", d.GetRetryDelay().AsDuration().String())
	case *errdetails.ResourceInfo:
		f.add("resource", strings.TrimSpace(d.GetResourceType()+" "+d.GetResourceName()+" "+d.GetDescription()))
	case *errdetails.RequestInfo:
		f.correlated = true
		f.add("correlation", d.GetRequestId())
	case *errdetails.Help:
		for _, l := range d.GetLinks() {
			f.add("help", l.GetUrl()+inParentheses(l.GetDescription()))
		}
	case *errdetails.LocalizedMessage:
		f.add("message", d.GetMessage()+inParentheses(d.GetLocale()))
	default:
		f.add(string(m.ProtoReflect().Descriptor().FullName()), protojson.MarshalOptions{Resolver: f.types}.Format(m))
	}
}

func inParentheses(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
