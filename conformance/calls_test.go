package conformance_test

// call is one request and the status that it is to be answered with.
type call struct {
	operation    string // without the package of the service
	path         string // with the query; its HTTP method is the document's
	body         string
	header       map[string]string
	ifMatch, had string // "current": the entity tag of the user, as If-Match or If-None-Match
	want         int
	until        string // of a stream that does not end: the part of an item that is waited for
}

const (
	user       = "user.v1.UserService."
	audit      = "audit.v1.AuditService."
	platform   = "keelson.platform.v1.PlatformService."
	ada        = "/v1/users/ada-l"
	nobody     = "/v1/users/nobody-here"
	otherTag   = `"0"`
	justChange = `{"displayName": "Ada"}`
)

var problems = map[string]string{"Accept": "application/problem+json, application/json"}

// calls are made in this order, through the gateway, on a platform without users.
var calls = []call{
	{operation: user + "CreateUser", path: "/v1/users?userId=ada-l&validateOnly=true", body: `{"email": "ada@example.com"}`, want: 200},
	{operation: user + "CreateUser", path: "/v1/users?userId=ada-l", body: `{"email": "ada@example.com", "labels": {"team": "a"}}`, want: 201},
	{operation: user + "CreateUser", path: "/v1/users?userId=ada-l", body: `{"email": "other@example.com"}`, want: 409},
	{operation: user + "CreateUser", path: "/v1/users?userId=ada-l", body: `{"email": "other@example.com"}`, header: problems, want: 409},
	{operation: user + "CreateUser", path: "/v1/users?userId=-", body: `{"email": "other"}`, want: 400},
	{operation: user + "CreateUser", path: "/v1/users?userId=-", body: `{"email": "other"}`, header: problems, want: 400},
	{operation: user + "CreateUser", path: "/v1/users", body: `{"email": `, want: 400},

	{operation: user + "GetUser", path: ada, want: 200},
	{operation: user + "GetUser", path: ada, had: "current", want: 304},
	{operation: user + "GetUser", path: ada, had: otherTag, want: 200},
	{operation: user + "GetUser", path: ada, ifMatch: otherTag, want: 412},
	{operation: user + "GetUser", path: nobody, want: 404},
	{operation: user + "GetUser", path: nobody, header: problems, want: 404},
	{operation: user + "GetUser", path: "/v1/users/-", want: 400},

	{operation: user + "ListUsers", path: "/v1/users?pageSize=1&filter=labels.team%3D%22a%22&orderBy=create_time%20desc", want: 200},
	{operation: user + "ListUsers", path: "/v1/users?page_size=-1", want: 400},
	{operation: user + "ListUsers", path: "/v1/users?color=red", want: 400},
	{operation: user + "BatchGetUsers", path: "/v1/users:batchGet?names=users/ada-l&names=users/ada-l", want: 200},
	{operation: user + "BatchGetUsers", path: "/v1/users:batchGet?names=users/nobody-here", want: 404},
	{operation: user + "BatchGetUsers", path: "/v1/users:batchGet", want: 400},

	{operation: user + "UpdateUser", path: ada, body: justChange, ifMatch: "current", want: 200},
	{operation: user + "UpdateUser", path: ada + "?updateMask=givenName,labels.team", body: `{"givenName": "Ada"}`, want: 200},
	{operation: user + "UpdateUser", path: ada, body: justChange, ifMatch: otherTag, want: 412},
	{operation: user + "UpdateUser", path: ada, body: `{"displayName": "B", "etag": "\"0\""}`, want: 409},
	{operation: user + "UpdateUser", path: nobody, body: justChange, want: 404},
	{operation: user + "UpdateUser", path: ada + "?updateMask=color", body: justChange, want: 400},

	{operation: user + "SuspendUser", path: ada + ":suspend", body: "{}", want: 200},
	{operation: user + "SuspendUser", path: ada + ":suspend", body: `{"etag": "\"0\""}`, want: 409},
	{operation: user + "SuspendUser", path: ada + ":suspend", body: "{}", ifMatch: otherTag, want: 412},
	{operation: user + "SuspendUser", path: nobody + ":suspend", body: "{}", want: 404},
	{operation: user + "SuspendUser", path: ada + ":suspend", body: `{"requestId": "1"}`, want: 400},
	{operation: user + "ActivateUser", path: ada + ":activate", body: "{}", ifMatch: "current", want: 200},
	{operation: user + "ActivateUser", path: ada + ":activate", body: `{"etag": "\"0\""}`, want: 409},
	{operation: user + "ActivateUser", path: ada + ":activate", body: "{}", ifMatch: otherTag, want: 412},
	{operation: user + "ActivateUser", path: nobody + ":activate", body: "{}", want: 404},
	{operation: user + "ActivateUser", path: ada + ":activate", body: "[]", want: 400},

	{operation: user + "DeleteUser", path: ada + "?etag=%220%22", want: 409},
	{operation: user + "DeleteUser", path: ada, ifMatch: otherTag, want: 412},
	{operation: user + "DeleteUser", path: ada + "?requestId=1", want: 400},
	{operation: user + "DeleteUser", path: ada, ifMatch: "current", want: 200},
	{operation: user + "DeleteUser", path: ada, want: 404},
	{operation: user + "UndeleteUser", path: ada + ":undelete", body: "{}", ifMatch: otherTag, want: 412},
	{operation: user + "UndeleteUser", path: ada + ":undelete", body: "{}", want: 200},
	{operation: user + "UndeleteUser", path: ada + ":undelete", body: "{}", want: 409},
	{operation: user + "UndeleteUser", path: nobody + ":undelete", body: "{}", want: 404},
	{operation: user + "UndeleteUser", path: ada + ":undelete", body: `{"color": 1}`, want: 400},

	{
		operation: user + "ImportUsers", path: "/v1/users:import", want: 200,
		body: `{"start": {"importId": "of-a-test"}}
			{"item": {"sequence": "1", "userId": "grace-h", "user": {"email": "grace@example.com"}}}
			{"item": {"sequence": "2", "userId": "-", "user": {"email": "wrong"}}}`,
	},
	{operation: user + "ImportUsers", path: "/v1/users:import", body: `{"item": {}}`, want: 400},
	{operation: user + "WatchUsers", path: "/v1/users:watch", header: map[string]string{"Accept": "text/event-stream"}, until: "initialStateEnd", want: 200},
	{operation: user + "WatchUsers", path: "/v1/users:watch", header: map[string]string{"Accept": "application/x-ndjson"}, until: "initialStateEnd", want: 200},
	{operation: user + "WatchUsers", path: "/v1/users:watch?startRevision=garbled", want: 400},

	{operation: audit + "ListChanges", path: "/v1/changes?user=users/ada-l&orderBy=position%20desc", want: 200, until: "KIND_CREATED"},
	{operation: audit + "ListChanges", path: "/v1/changes?pageSize=-1", want: 400},
	{operation: audit + "GetChange", path: "/v1/changes/1", want: 200},
	{operation: audit + "GetChange", path: "/v1/changes/999999", want: 404},
	{operation: audit + "GetChange", path: "/v1/changes/0", want: 400},
	{operation: audit + "Follow", path: "/v1/changes:follow", body: `{"start": {"consumer": "of-a-test"}}`, want: 200},
	{operation: audit + "Follow", path: "/v1/changes:follow", body: `{"ack": {"position": "1"}}`, want: 400},

	{operation: platform + "ListServices", path: "/v1/services", want: 200},
	{operation: platform + "GetService", path: "/v1/services/user", want: 200},
	{operation: platform + "ListServices", path: "/v1/services?pageSize=-1", want: 400},
	{operation: platform + "GetService", path: "/v1/services/nothing", want: 404},
	{operation: platform + "GetService", path: "/v1/services/user?color=red", want: 400},
	{operation: platform + "WatchServices", path: "/v1/services:watch", until: "services", want: 200},
	{operation: platform + "WatchServices", path: "/v1/services:watch?color=red", want: 400},
	{operation: platform + "GetConsoleConfig", path: "/v1/consoleConfig", want: 200},
	{operation: platform + "GetConsoleConfig", path: "/v1/consoleConfig?color=red", want: 400},
}

// itself is why a call does not find the service away.
const itself = "the gateway answers it itself: it is away when there is nobody to say so"

// unprovoked are answers that the document has and that no call here gets, each for
// its reason. "" is every operation.
var unprovoked = map[string]map[string]string{
	"": {
		"408":     "a body that does not come takes a client that waits: package edge has the tests",
		"500":     "the server fails: there is no request for that",
		"default": "every other error",
	},
	user + "WatchUsers":           {"409": "a watch that is too slow or too old is told so after it has begun, by its last event"},
	user + "ImportUsers":          {"503": "an import that is cut off is told so after it has begun, by its last line"},
	audit + "Follow":              {"409": "a stream that is taken over is told so after it has begun, by its last line"},
	platform + "WatchServices":    {"409": "a watch that is too old is told so after it has begun, by its last event", "503": itself},
	platform + "ListServices":     {"503": itself},
	platform + "GetService":       {"503": itself},
	platform + "GetConsoleConfig": {"503": itself},
}
