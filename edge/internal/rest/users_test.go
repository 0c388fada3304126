package rest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keelson-dev/keelson/edge/internal/rest"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// users is a user service whose every user is the one that is asked for.
type users struct {
	userv1.UnimplementedUserServiceServer
}

// GetUser implements userv1.UserServiceServer.
func (users) GetUser(_ context.Context, r *userv1.GetUserRequest) (*userv1.User, error) {
	return &userv1.User{
		Name: r.GetName(), Etag: `"5kx0"`, Email: "alice@example.com", DisplayName: "Alice", State: userv1.User_STATE_ACTIVE,
		Labels: map[string]string{"team": "infra"}, CreateTime: &timestamppb.Timestamp{Seconds: 1767225600},
	}, nil
}

// CreateUser implements userv1.UserServiceServer.
func (users) CreateUser(_ context.Context, r *userv1.CreateUserRequest) (*userv1.User, error) {
	u := proto.CloneOf(r.GetUser())
	u.Name = "users/" + r.GetUserId()
	return u, nil
}

// UpdateUser implements userv1.UserServiceServer: it answers with the mask.
func (users) UpdateUser(_ context.Context, r *userv1.UpdateUserRequest) (*userv1.User, error) {
	return &userv1.User{Name: r.GetUser().GetName(), Etag: r.GetUser().GetEtag(), DisplayName: strings.Join(r.GetUpdateMask().GetPaths(), ",")}, nil
}

func TestLinkedContractsAreServedAsWell(t *testing.T) {
	g := grpc.NewServer()
	userv1.RegisterUserServiceServer(g, users{})
	defer g.Stop()
	rt, err := rest.New(rest.Config{
		Services: []protoreflect.ServiceDescriptor{userv1.File_user_v1_user_proto.Services().ByName("UserService")}, Handler: g,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		verb, path, body string
		code             int
		want             string
	}{
		{"GET", "/v1/users/alice", "", 200, `{"name":"users/alice","etag":"\"5kx0\"","email":"alice@example.com","displayName":"Alice","labels":{"team":"infra"},"state":"STATE_ACTIVE","createTime":"2026-01-01T00:00:00Z"}`},
		{"POST", "/v1/users?user_id=bob-1", `{"email":"b@example.com"}`, 201, `{"name":"users/bob-1","email":"b@example.com"}`},
		{"PATCH", "/v1/users/bob", `{"email":"x","familyName":null,"state":"STATE_ACTIVE","uid":"x"}`, 200, `{"name":"users/bob","etag":"\"e\"","displayName":"email,family_name"}`},
		{"GET", "/v1/users", "", 501, `{"code":12,"message":"method ListUsers not implemented"}`},
	} {
		r := httptest.NewRequest(c.verb, c.path, strings.NewReader(c.body))
		r.Header.Set("X-Correlation-Id", "c")
		if c.body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if c.verb == http.MethodPatch {
			r.Header.Set("If-Match", `"e"`)
		}
		w := httptest.NewRecorder()
		rt.ServeHTTP(w, r)
		if w.Code != c.code || w.Body.String() != c.want {
			t.Errorf("%s %s: %d %s\nwant %d %s", c.verb, c.path, w.Code, w.Body, c.code, c.want)
		}
		if c.code == 201 && w.Header().Get("Location") != "/v1/users/bob-1" {
			t.Errorf("Location %q", w.Header().Get("Location"))
		}
	}
}
