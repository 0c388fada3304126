package inproc_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestBreakTellsTheServerWhyAndLetsItAnswer(t *testing.T) {
	c := call(t, func(ss grpc.ServerStream) error {
		for {
			m := &wrapperspb.StringValue{}
			if err := ss.RecvMsg(m); err != nil {
				if ss.Context().Err() != nil {
					t.Error("the call was cancelled")
				}
				if err := ss.SendMsg(wrapperspb.String("last")); err != nil {
					t.Errorf("the server could not answer: %v", err)
				}
				return err
			}
		}
	})
	s := c.Open(t.Context())
	defer s.Close()
	if err := s.Send(packed(t, "x")); err != nil {
		t.Fatal(err)
	}
	s.Break("line 2 is wrong")
	if m, err := s.Recv(); err != nil || unpacked(t, m) != "last" {
		t.Errorf("%q, %v", m, err)
	}
	if _, err := s.Recv(); err == nil {
		t.Error("there is more")
	}
	if st := s.Status(); st.Code() != codes.Canceled || !strings.Contains(st.Message(), "line 2 is wrong") {
		t.Errorf("%v", status.Convert(st.Err()))
	}
}
