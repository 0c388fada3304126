package inproc_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestBreakTellsTheServerWhyAfterWhatItHasToAnswer(t *testing.T) {
	ended := make(chan error, 1)
	c := call(t, func(ss grpc.ServerStream) error {
		for {
			m := &wrapperspb.StringValue{}
			err := ss.RecvMsg(m)
			if err == nil {
				err = ss.SendMsg(m)
			}
			if err != nil {
				ended <- err
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
	if m, err := s.Recv(); err != nil || unpacked(t, m) != "x" {
		t.Errorf("%q, %v", m, err)
	}
	if _, err := s.Recv(); err == nil {
		t.Error("there is more")
	}
	for who, st := range map[string]*status.Status{"caller": s.Status(), "server": status.Convert(<-ended)} {
		if st.Code() != codes.Canceled || !strings.Contains(st.Message(), "line 2 is wrong") {
			t.Errorf("the %s heard %v", who, st)
		}
	}
}
