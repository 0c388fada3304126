package call_test

import (
	"strings"
	"testing"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/call"
)

func TestMatchFindsMethodsByAnyWholeEnd(t *testing.T) {
	all := []string{
		"/user.v1.UserService/GetUser", "/user.v1.UserService/ListUsers", "/audit.v1.AuditService/List",
		"/other.v1.UserService/GetUser", "/other.v1.Things/Check", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
	}
	for name, tc := range map[string]struct{ give, want, fault string }{
		"full name":                     {"/user.v1.UserService/GetUser", all[0], ""},
		"full name without slash":       {"user.v1.UserService/GetUser", all[0], ""},
		"full name with dots":           {"user.v1.UserService.GetUser", all[0], ""},
		"method alone":                  {"ListUsers", all[1], ""},
		"service and method":            {"UserService/ListUsers", all[1], ""},
		"a part of a name is no name":   {"Users", "", `there is no method "Users"`},
		"other case":                    {"listusers", all[1], ""},
		"gRPC's own method stands back": {"Check", all[4], ""},
		"gRPC's own method":             {"Watch", all[6], ""},
		"ambiguous":                     {"GetUser", "", `several methods are called "GetUser"; say which one: user.v1.UserService/GetUser, other.v1.UserService/GetUser`},
		"typo":                          {"ListUser", "", "nearest first: user.v1.UserService/ListUsers"},
		"empty":                         {"", "", "there is no method"},
	} {
		t.Run(name, func(t *testing.T) {
			i, err := call.Match(tc.give, all)
			switch {
			case tc.fault != "" && (err == nil || !strings.Contains(err.Error(), tc.fault)):
				t.Errorf("got %v, want %q", err, tc.fault)
			case tc.fault == "" && err != nil:
				t.Error(err)
			case tc.fault == "" && all[i] != tc.want:
				t.Errorf("got %s, want %s", all[i], tc.want)
			}
		})
	}
}
