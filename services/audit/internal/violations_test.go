package internal_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keelson-dev/keelson/keelsontest"
	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	"github.com/keelson-dev/keelson/services/audit/internal"
)

// TestEveryViolationIsSaidAtOnce breaks rules of audit.proto together with what
// only the handler checks, in every method that has more than one field.
func TestEveryViolationIsSaidAtOnce(t *testing.T) {
	never := &timestamppb.Timestamp{Nanos: -1}
	early, late := timestamppb.New(time.Unix(1, 0)), timestamppb.New(time.Unix(2, 0))
	c := serve(t, newStore(t), &directory{}, internal.FollowConfig{})
	for name, tc := range map[string]struct {
		req  *auditv1.ListChangesRequest
		want []string
	}{
		"rules and more": {&auditv1.ListChangesRequest{PageSize: -1, User: "anna", StartTime: never, EndTime: never, OrderBy: "time"}, []string{"end_time", "order_by", "page_size", "start_time", "user"}},
		"rules kept":     {&auditv1.ListChangesRequest{StartTime: late, EndTime: early, OrderBy: "time"}, []string{"end_time", "order_by"}},
		"a bad token":    {&auditv1.ListChangesRequest{PageSize: -1, PageToken: "x"}, []string{"page_size", "page_token"}},
	} {
		t.Run("ListChanges, "+name, func(t *testing.T) {
			_, err := c.ListChanges(soon(t), tc.req)
			keelsontest.WantViolations(t, err, internal.Domain, tc.want...)
		})
	}
	t.Run("GetChange", func(t *testing.T) {
		_, err := c.GetChange(soon(t), &auditv1.GetChangeRequest{Name: "x"})
		keelsontest.WantViolations(t, err, internal.Domain, "name")
	})
	t.Run("Follow", func(t *testing.T) {
		s, err := c.Follow(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		start := &auditv1.FollowRequest_Start{Consumer: "a b", AfterPosition: -1, Window: -1}
		if err := s.Send(&auditv1.FollowRequest{Message: &auditv1.FollowRequest_Start_{Start: start}}); err != nil {
			t.Fatal(err)
		}
		_, err = s.Recv()
		keelsontest.WantViolations(t, err, internal.Domain, "start.after_position", "start.consumer", "start.window")
	})
}
