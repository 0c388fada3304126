package errs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	"github.com/keelson-dev/keelson/errs"
)

// overWire sends a status through its bytes, as the trailer does.
func overWire(t interface{ Fatalf(string, ...any) }, st *status.Status) *errs.Error {
	raw, err := proto.Marshal(st.Proto())
	if err != nil {
		t.Fatalf("the status does not marshal: %v", err)
	}
	if len(raw) > errs.MaxStatusSize {
		t.Fatalf("%d bytes", len(raw))
	}
	p := &spb.Status{}
	if err := proto.Unmarshal(raw, p); err != nil {
		t.Fatalf("the status does not unmarshal: %v", err)
	}
	if !utf8.ValidString(p.GetMessage()) {
		t.Fatalf("message %q", p.GetMessage())
	}
	return errs.From(errs.FromWire(status.FromProto(p).Err()))
}

func TestWhatIsTooLargeIsCutAndSaysSo(t *testing.T) {
	huge := strings.Repeat("\u20ac", 3000)
	many := func(f func(i int) errs.Detail) (all []errs.Detail) {
		for i := range 200 {
			all = append(all, f(i))
		}
		return all
	}
	for name, tc := range map[string]struct {
		details []errs.Detail
		message string
		marker  string
		check   func(t *testing.T, e *errs.Error)
	}{
		"message": {message: huge, marker: "message", check: func(t *testing.T, e *errs.Error) {
			if len(e.Message()) > 1024 || !strings.HasSuffix(e.Message(), "\u2026") {
				t.Errorf("message of %d bytes", len(e.Message()))
			}
		}},
		"a message under the cap that grows when it is percent-encoded": {message: huge[:3600], marker: "message"},
		"fields: the first ones stay": {
			details: many(func(i int) errs.Detail { return errs.Field(fmt.Sprint("f", i), "R", "a description that is not short") }), marker: "violations",
			check: func(t *testing.T, e *errs.Error) {
				if n := len(e.Fields()); n < 40 || n > 199 || e.Fields()[n-1].GetField() != fmt.Sprint("f", n-1) {
					t.Errorf("%d fields", n)
				}
			},
		},
		"one field with a long description": {details: []errs.Detail{errs.Field("f", "R", huge)}, marker: "violations", check: func(t *testing.T, e *errs.Error) {
			if len(e.Fields()) != 1 || len(e.Fields()[0].GetDescription()) > 256 {
				t.Errorf("fields %v", e.Fields())
			}
		}},
		"preconditions": {details: many(func(int) errs.Detail { return errs.Precondition("STATE", "users/7", "must be active") }), marker: "violations"},
		"quotas":        {details: many(func(int) errs.Detail { return errs.Quota("caller:10.0.0.7", "100 calls per second") }), marker: "violations"},
		"metadata: the resume token stays": {
			details: append(many(func(i int) errs.Detail { return errs.Meta(fmt.Sprintf("key_%03d", i), "some value of some length") }),
				errs.Meta(errs.MetaResumeToken, strings.Repeat("t", 1024))), marker: "metadata",
			check: func(t *testing.T, e *errs.Error) {
				if token, ok := errs.ResumeToken(e); !ok || len(token) != 1024 || e.Meta("key_000") == "" || e.Meta("key_199") != "" {
					t.Errorf("metadata %v", e.Metadata())
				}
			},
		},
		"a resource":    {details: []errs.Detail{errs.Resource("t", huge, "", ""), errs.Field("f", "R", "d")}, marker: "details"},
		"other details": {details: []errs.Detail{errs.Message(wrapperspb.String(huge)), errs.Message(wrapperspb.String("small"))}, marker: "details"},
		"everything": {
			message: huge, marker: "message,metadata,violations,details",
			details: append(many(func(i int) errs.Detail { return errs.Field(huge, "R", huge) }), errs.Meta("k", huge), errs.Resource(huge, huge, huge, huge)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			own := errs.Unavailable("X", "%s", tc.message).With(tc.details...).With(errs.RetryAfter(time.Second), errs.Meta("a", "b"))
			e := overWire(t, errs.Status(own, "me.example", "id-1"))
			if d, ok := e.RetryAfter(); !ok || d != time.Second || e.RequestID() != "id-1" || e.Reason() != "X" || e.Domain() != "me.example" || e.Meta("a") != "b" {
				t.Errorf("what must survive did not: %v", e.Details())
			}
			if got := e.Meta(errs.MetaTruncated); got != tc.marker {
				t.Errorf("marker %q, want %q", got, tc.marker)
			}
			if tc.check != nil {
				tc.check(t, e)
			}
			overWire(t, own.GRPCStatus())
			overWire(t, errs.Status(errs.Verbatim(own), "gw", "id"))
			foreign := errs.Status(errs.Verbatim(status.FromProto(&spb.Status{Code: 5, Message: huge + huge}).Err()), "gw", "id")
			if overWire(t, foreign).Meta(errs.MetaTruncated) != "message" {
				t.Errorf("a gateway passed on %d bytes", proto.Size(foreign.Proto()))
			}
		})
	}
}

// drawError draws an error; most are small enough to leave whole, some are far too large.
func drawError(t *rapid.T) *errs.Error {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z ]{0,40}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	if rapid.IntRange(0, 9).Draw(t, "large") == 0 {
		text = rapid.Map(rapid.StringN(1, 50, -1), func(s string) string { return strings.Repeat(s, 60) })
	}
	word := func(label string) string { return text.Draw(t, label) }
	e := errs.New(codes.Code(rapid.Uint32Range(1, 16).Draw(t, "code")), rapid.StringMatching(`[A-Z][A-Z0-9_]{1,80}`).Draw(t, "reason"), "%s", word("message"))
	for range rapid.IntRange(0, 12).Draw(t, "details") {
		var d errs.Detail
		switch rapid.IntRange(0, 8).Draw(t, "kind") {
		case 0:
			d = errs.Domain(word("domain"))
		case 1:
			d = errs.Meta(word("key"), word("value"))
		case 2:
			d = errs.Field(word("path"), word("rule"), word("description"))
		case 3:
			d = errs.Precondition(word("type"), word("subject"), word("description"))
		case 4:
			d = errs.Quota(word("subject"), word("description"))
		case 5:
			d = errs.Resource(word("type"), word("name"), word("owner"), word("description"))
		case 6:
			d = errs.RetryAfter(time.Duration(rapid.Int64().Draw(t, "retry")))
		case 7:
			d = errs.Message(wrapperspb.Bytes([]byte(word("bytes"))))
		case 8:
			d = errs.Message(&anypb.Any{TypeUrl: "type.example/never.Heard", Value: []byte(word("any"))})
		}
		e = e.With(d)
	}
	return e
}

func TestRoundTripLosesNothingUnderTheCapAndNeverPassesIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		own := drawError(t)
		back := overWire(t, own.GRPCStatus())
		if back.Code() != own.Code() || back.Reason() != own.Reason() {
			t.Fatalf("sent %v, got %v", own, back)
		}
		if back.Meta(errs.MetaTruncated) == "" {
			if back.Message() != own.Message() || back.Domain() != own.Domain() {
				t.Fatalf("sent %v, got %v", own, back)
			}
			if diff := cmp.Diff(own.Details(), back.Details(), protocmp.Transform()); diff != "" {
				t.Fatal(diff)
			}
		} else if sum := len(own.Message()) + size(own.Details()); sum < errs.MaxStatusSize/3 {
			t.Fatalf("an error of %d bytes was cut: %s", sum, back.Meta(errs.MetaTruncated))
		}
		left := overWire(t, errs.Status(own, "me.example", "id"))
		if left.RequestID() != "id" || left.Domain() == "" || !left.Remote() {
			t.Fatalf("left as %v", left.Details())
		}
		again := overWire(t, errs.Status(errs.Verbatim(left), "gw", "id"))
		if diff := cmp.Diff(left.Details(), again.Details(), protocmp.Transform()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func size(details []proto.Message) (n int) {
	for _, d := range details {
		n += proto.Size(d)
	}
	return n
}

// FuzzFromStatusBytes reads whatever a foreign server may send, and sends it on in every way.
func FuzzFromStatusBytes(f *testing.F) {
	for _, e := range []*errs.Error{
		errs.NotFound("X", "m").With(errs.Meta("a", "b"), errs.Field("f", "R", "d"), errs.RetryAfter(time.Second)),
		errs.Internal("", "").With(errs.Message(&errdetails.Help{}), errs.Quota("", "")),
	} {
		raw, err := proto.Marshal(e.GRPCStatus().Proto())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	broken, err := proto.Marshal(&spb.Status{Code: -1, Details: []*anypb.Any{
		{TypeUrl: "type.googleapis.com/google.rpc.ErrorInfo", Value: []byte("\xff")},
		{TypeUrl: "type.googleapis.com/google.rpc.RetryInfo"}, {TypeUrl: "x"}, {},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(broken)
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := &spb.Status{}
		if proto.Unmarshal(raw, p) != nil || p.GetCode() == 0 {
			return
		}
		in := status.FromProto(p).Err()
		e := errs.From(in)
		if got := e.GRPCStatus().Proto(); !proto.Equal(got, p) {
			t.Fatalf("read %v as %v", p, got)
		}
		for _, out := range []error{errs.Verbatim(in), errs.Verbatim(errs.FromWire(in))} {
			st := errs.Status(out, "me.example", "id")
			if st.Code() == codes.OK || proto.Size(st.Proto()) > errs.MaxStatusSize {
				t.Fatalf("%v passed as %v", p, st)
			}
		}
		for _, out := range []error{in, errs.FromWire(in), e.With(errs.Meta("a", "b"))} {
			st := errs.Status(out, "me.example", "id")
			if st.Code() == codes.OK {
				t.Fatalf("%v left as OK", p)
			}
			n := 0
			for _, a := range st.Proto().GetDetails() {
				if a.MessageIs((*errdetails.ErrorInfo)(nil)) {
					n++
				}
			}
			if n != 1 || count[*errdetails.ErrorInfo](st) != 1 {
				t.Fatalf("%d ErrorInfo: %v", n, st)
			}
			overWire(t, st)
		}
	})
}

// FuzzRoundTrip sends an error made of arbitrary strings.
func FuzzRoundTrip(f *testing.F) {
	f.Add(uint32(5), "USER_NOT_FOUND", "no user", "user.example", "user", "users/7", "email", int64(time.Second), 3)
	f.Add(uint32(99), "\xff", strings.Repeat("%", 5000), "", "", strings.Repeat("x", 3000), "", int64(-1), 400)
	f.Fuzz(func(t *testing.T, code uint32, reason, message, domain, key, value, field string, retry int64, n int) {
		own := errs.New(codes.Code(code), reason, "%s", message).With(errs.Domain(domain), errs.Meta(key, value), errs.RetryAfter(time.Duration(retry)))
		fields := make([]errs.Detail, max(0, min(n, 300)))
		for i := range fields {
			fields[i] = errs.Field(field, reason, value)
		}
		own = own.With(fields...)
		back := overWire(t, own.GRPCStatus())
		if back.Code() != own.Code() {
			t.Fatalf("sent %v, got %v", own.Code(), back.Code())
		}
		want, _ := own.RetryAfter()
		if got, ok := back.RetryAfter(); !ok || got != want {
			t.Fatalf("retry %v, want %v", got, want)
		}
		if back.Meta(errs.MetaTruncated) == "" {
			if diff := cmp.Diff(own.Details(), back.Details(), protocmp.Transform()); diff != "" {
				t.Fatal(diff)
			}
		}
		overWire(t, errs.Status(own, domain, value))
	})
}
