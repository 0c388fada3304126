package internal

import (
	"google.golang.org/protobuf/proto"

	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
)

// check says what the handler of a request would find wrong with it, so that a
// request that breaks rules of its proto hears of both in one answer. All other
// requests have no rules but those.
func check(req proto.Message) error {
	if r, ok := req.(*auditv1.ListChangesRequest); ok {
		_, err := queryOf(r)
		return err
	}
	return nil
}
