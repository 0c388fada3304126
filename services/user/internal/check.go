package internal

import (
	"google.golang.org/protobuf/proto"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// check says what the handler of a request would find wrong with it, so that a
// request that breaks rules of its proto hears of both in one answer.
func (p *filterParser) check(req proto.Message) (err error) {
	switch r := req.(type) {
	case *userv1.CreateUserRequest:
		_, _, err = parseCreate(r)
	case *userv1.UpdateUserRequest:
		_, _, _, err = parseUpdate(r)
	case namedRequest:
		_, _, err = namedWrite("", r)
	case *userv1.GetUserRequest:
		_, err = parseName("name", r.GetName())
	case *userv1.BatchGetUsersRequest:
		_, err = idsOf(r.GetNames())
	case *userv1.ListUsersRequest:
		_, err = p.queryOf(r)
	case *userv1.WatchUsersRequest:
		_, _, err = p.parseWatch(r)
	}
	return err
}
