package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/keelson-dev/keelson/internal/testservers/port"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// fourWays is one call of the user service, and how REST spells it.
type fourWays struct {
	name, method     string
	request          proto.Message
	verb, path, body string
	code             codes.Code
}

// fourWaysCalls has every unary method, and the errors of each. Only calls that may
// be repeated are among them, since each is made in every way.
func fourWaysCalls() []fourWays {
	ada, nobody := "users/ada-lovelace", "users/nobody-here"
	get := func(path string) (string, string, string) { return http.MethodGet, path, "" }
	post := func(path, body string) (string, string, string) { return http.MethodPost, path, body }
	one := func(name, method string, m proto.Message, code codes.Code) func(verb, path, body string) fourWays {
		return func(verb, path, body string) fourWays { return fourWays{name, method, m, verb, path, body, code} }
	}
	const stale = `"stale"`
	return []fourWays{
		one("get", "GetUser", &userv1.GetUserRequest{Name: ada}, codes.OK)(get("/v1/" + ada)),
		one("get nobody", "GetUser", &userv1.GetUserRequest{Name: nobody}, codes.NotFound)(get("/v1/" + nobody)),
		one("get what is no name", "GetUser", &userv1.GetUserRequest{Name: "users/A"}, codes.InvalidArgument)(get("/v1/users/A")),
		one("list", "ListUsers", &userv1.ListUsersRequest{PageSize: 2}, codes.OK)(get("/v1/users?pageSize=2")),
		one("list by nonsense", "ListUsers", &userv1.ListUsersRequest{Filter: "((("}, codes.InvalidArgument)(get("/v1/users?filter=(((")),
		one("list in no order", "ListUsers", &userv1.ListUsersRequest{OrderBy: "shoe_size"}, codes.InvalidArgument)(get("/v1/users?orderBy=shoe_size")),
		one("list on with a wrong token", "ListUsers", &userv1.ListUsersRequest{PageToken: "x"}, codes.InvalidArgument)(get("/v1/users?pageToken=x")),
		one("batch", "BatchGetUsers", &userv1.BatchGetUsersRequest{Names: []string{ada}}, codes.OK)(get("/v1/users:batchGet?names=" + ada)),
		one("batch of nobody", "BatchGetUsers", &userv1.BatchGetUsersRequest{Names: []string{nobody}}, codes.NotFound)(get("/v1/users:batchGet?names=" + nobody)),
		one("create one that is there", "CreateUser", &userv1.CreateUserRequest{UserId: "ada-lovelace", User: &userv1.User{Email: "x@example.com"}}, codes.AlreadyExists)(
			post("/v1/users?userId=ada-lovelace", `{"email":"x@example.com"}`)),
		one("create with a taken address", "CreateUser", &userv1.CreateUserRequest{UserId: "another-one", User: &userv1.User{Email: "ada@example.com"}}, codes.AlreadyExists)(
			post("/v1/users?userId=another-one", `{"email":"ada@example.com"}`)),
		one("create nonsense", "CreateUser", &userv1.CreateUserRequest{UserId: "X", User: &userv1.User{Email: "no"}}, codes.InvalidArgument)(
			post("/v1/users?userId=X", `{"email":"no"}`)),
		one("update nobody", "UpdateUser", &userv1.UpdateUserRequest{User: &userv1.User{Name: nobody, DisplayName: "N"}}, codes.NotFound)(
			http.MethodPatch, "/v1/"+nobody, `{"displayName":"N"}`),
		one("update what has changed", "UpdateUser", &userv1.UpdateUserRequest{User: &userv1.User{Name: ada, DisplayName: "N", Etag: stale}}, codes.Aborted)(
			http.MethodPatch, "/v1/"+ada, `{"displayName":"N","etag":"\"stale\""}`),
		one("delete nobody", "DeleteUser", &userv1.DeleteUserRequest{Name: nobody}, codes.NotFound)(http.MethodDelete, "/v1/"+nobody, ""),
		one("undelete who is there", "UndeleteUser", &userv1.UndeleteUserRequest{Name: ada}, codes.AlreadyExists)(post("/v1/"+ada+":undelete", "{}")),
		one("suspend nobody", "SuspendUser", &userv1.SuspendUserRequest{Name: nobody}, codes.NotFound)(post("/v1/"+nobody+":suspend", "{}")),
		one("suspend what has changed", "SuspendUser", &userv1.SuspendUserRequest{Name: ada, Etag: stale}, codes.Aborted)(post("/v1/"+ada+":suspend", `{"etag":"\"stale\""}`)),
		one("activate who is active", "ActivateUser", &userv1.ActivateUserRequest{Name: ada}, codes.OK)(post("/v1/"+ada+":activate", "{}")),
	}
}

// fourWaysOutcome is what a call came to.
type fourWaysOutcome struct {
	Reply   string
	Code    codes.Code
	Message string
	Details []string
}

func (o *fourWaysOutcome) status(p *spb.Status) {
	o.Code, o.Message = codes.Code(p.GetCode()), p.GetMessage() //nolint:gosec // a code
	for _, d := range p.GetDetails() {
		o.Details = append(o.Details, fmt.Sprintf("%s %x", d.MessageName(), d.GetValue()))
	}
}

func (o *fourWaysOutcome) reply(t *testing.T, m proto.Message) {
	t.Helper()
	var compact bytes.Buffer
	if err := json.Compact(&compact, must[[]byte](t)(protojson.Marshal(m))); err != nil {
		t.Fatal(err)
	}
	o.Reply = compact.String()
}

// TestTheUserServiceSaysTheSameFourWays makes each call through the gateway by gRPC,
// gRPC-Web, Connect (also in JSON) and REST and compares answer, code, message and
// details.
func TestTheUserServiceSaysTheSameFourWays(t *testing.T) {
	p := newPlatform(t)
	p.start("user-a", "KEELSON_STORE__SQLITE__PATH="+filepath.Join(p.dir, "user.db"))
	edge := port.Free(t)
	(&gateways{platform: p}).start("gateway-a", edge, "KEELSON_EDGE__H2C=true", "KEELSON_SERVICES=[{service: user.v1.UserService, target: user}]")
	conn := must[*grpc.ClientConn](t)(grpc.NewClient(edge, grpc.WithTransportCredentials(insecure.NewCredentials())))
	defer conn.Close()
	users := userv1.NewUserServiceClient(conn)
	p.wait("the gateway to serve users", func() bool {
		_, err := users.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: "ada-lovelace", User: &userv1.User{Email: "ada@example.com"}})
		return err == nil || status.Code(err) == codes.AlreadyExists
	})
	web := &http.Client{Transport: &http.Transport{}}
	defer web.CloseIdleConnections()
	for _, call := range fourWaysCalls() {
		t.Run(call.name, func(t *testing.T) {
			want := call.byGRPC(t, conn)
			if want.Code != call.code {
				t.Errorf("gRPC: %s %s, want %s", want.Code, want.Message, call.code)
			}
			for name, got := range map[string]fourWaysOutcome{
				"gRPC-Web":     call.byConnect(t, web, edge, connect.WithGRPCWeb()),
				"Connect":      call.byConnect(t, web, edge),
				"Connect JSON": call.byConnect(t, web, edge, connect.WithProtoJSON()),
				"REST":         call.byREST(t, web, edge),
			} {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s differs from gRPC (-gRPC +%s):\n%s", name, name, diff)
				}
			}
		})
	}
}

func (c fourWays) replyMessage() proto.Message {
	m := userv1.File_user_v1_user_proto.Services().ByName("UserService").Methods().ByName(protoName(c.method))
	return dynamicpb.NewMessage(m.Output())
}

const fourWaysID = "four-ways"

func (c fourWays) byGRPC(t *testing.T, conn *grpc.ClientConn) fourWaysOutcome {
	t.Helper()
	var out fourWaysOutcome
	reply := c.replyMessage()
	ctx := metadata.AppendToOutgoingContext(bounded(t), "x-correlation-id", fourWaysID)
	if err := conn.Invoke(ctx, "/user.v1.UserService/"+c.method, c.request, reply); err != nil {
		out.status(status.Convert(err).Proto())
	} else {
		out.reply(t, reply)
	}
	return out
}

func (c fourWays) byConnect(t *testing.T, web *http.Client, edge string, opts ...connect.ClientOption) fourWaysOutcome {
	t.Helper()
	var out fourWaysOutcome
	m := userv1.File_user_v1_user_proto.Services().ByName("UserService").Methods().ByName(protoName(c.method))
	request := dynamicpb.NewMessage(m.Input())
	if err := proto.Unmarshal(must[[]byte](t)(proto.Marshal(c.request)), request); err != nil {
		t.Fatal(err)
	}
	opts = append(opts, connect.WithSchema(m), connect.WithResponseInitializer(func(_ connect.Spec, message any) error {
		if d, ok := message.(*dynamicpb.Message); ok {
			*d = *dynamicpb.NewMessage(m.Output()) //nolint:govet // as connect documents it
		}
		return nil
	}))
	client := connect.NewClient[dynamicpb.Message, dynamicpb.Message](web, "http://"+edge+"/user.v1.UserService/"+c.method, opts...)
	req := connect.NewRequest(request)
	req.Header().Set("X-Correlation-Id", fourWaysID)
	resp, err := client.CallUnary(bounded(t), req)
	var failed *connect.Error
	switch {
	case err == nil:
		out.reply(t, resp.Msg)
	case errors.As(err, &failed):
		out.Code, out.Message = codes.Code(failed.Code()), failed.Message()
		for _, d := range failed.Details() {
			out.Details = append(out.Details, fmt.Sprintf("%s %x", d.Type(), d.Bytes()))
		}
	}
	return out
}

func (c fourWays) byREST(t *testing.T, web *http.Client, edge string) fourWaysOutcome {
	t.Helper()
	req := must[*http.Request](t)(http.NewRequestWithContext(context.WithoutCancel(t.Context()), c.verb, "http://"+edge+c.path, strings.NewReader(c.body)))
	req.Header.Set("X-Correlation-Id", fourWaysID)
	if c.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp := must[*http.Response](t)(web.Do(req))
	defer resp.Body.Close()
	text := must[[]byte](t)(io.ReadAll(resp.Body))
	if got := resp.Header.Get("X-Correlation-Id"); got != fourWaysID {
		t.Errorf("REST: correlation ID %q", got)
	}
	var out fourWaysOutcome
	if resp.StatusCode < http.StatusBadRequest {
		reply := c.replyMessage()
		if err := protojson.Unmarshal(text, reply); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		out.reply(t, reply)
		return out
	}
	var p spb.Status
	if err := protojson.Unmarshal(text, &p); err != nil {
		t.Fatalf("%s %s: %v", resp.Status, text, err)
	}
	out.status(&p)
	return out
}

func protoName(s string) protoreflect.Name { return protoreflect.Name(s) }
