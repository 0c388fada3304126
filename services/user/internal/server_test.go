package internal_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/internal"
)

// startService runs the whole service with the chassis around it.
func startService(t testing.TB, path string, opts ...keelsontest.Option) (userv1.UserServiceClient, func() error) {
	t.Helper()
	cfg := internal.DefaultConfig()
	cfg.Store.SQLite.Path = path
	conn, drain := keelsontest.Start(t, func(s *keelson.Service) {
		if err := internal.Register(s, cfg); err != nil {
			t.Fatal(err)
		}
	}, opts...)
	return userv1.NewUserServiceClient(conn), drain
}

// syncBuffer is a buffer that several may write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestServiceServesOnTheChassisAndLogsNoPersonalData(t *testing.T) {
	var log syncBuffer
	c, drain := startService(t, filepath.Join(t.TempDir(), "new", "directory", "users.db"), keelsontest.WithLog(&log))
	create(t, c, "anna", &userv1.User{Email: "Secret.Anna@example.com", DisplayName: "Anna Secret", Labels: map[string]string{"diagnosis": "secret"}})
	_, err := c.CreateUser(soon(t), &userv1.CreateUserRequest{User: &userv1.User{Email: "secret.anna@example.com"}})
	if e := errs.From(err); e.Reason() != internal.ReasonEmailTaken || e.Domain() != internal.Domain || e.RequestID() == "" {
		t.Errorf("error is %v with %v", e, e.Details())
	}
	if !errsIs(err, errs.AlreadyExists(internal.ReasonEmailTaken, "")) {
		t.Error("the caller cannot tell the error")
	}
	for _, filter := range []string{`email = "secret.anna@example.com" AND nosuch = "Secret"`, `email = "secret" AND (`, `email = Secret`, `email = "secret`, `labels.Secret = "x"`, `state = "secret"`} {
		_, err = c.ListUsers(soon(t), &userv1.ListUsersRequest{Filter: filter})
		if e := errs.From(err); e.Code() != codes.InvalidArgument || strings.Contains(e.Error(), "ecret") {
			t.Errorf("error is %v", e)
		}
	}
	// The validation of the contract and of the handler name the same fields.
	_, err = c.GetUser(soon(t), &userv1.GetUserRequest{Name: "nobody"})
	if f := errs.From(err).Fields(); len(f) != 1 || f[0].GetField() != "name" {
		t.Errorf("fields are %v", f)
	}
	importAll(t, c, "log", itemOf(1, "", &userv1.User{Email: "SECRET.anna@example.com"}), itemOf(2, "", &userv1.User{Email: "other.secret@example.com"}))
	s := watch(t, c, &userv1.WatchUsersRequest{Filter: `email:"secret"`})
	next(t, s)
	if err := drain(); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); strings.Contains(strings.ToLower(text), "secret") || !strings.Contains(text, "CreateUser") {
		t.Errorf("the log is empty or tells secrets:\n%s", text)
	}
}

func errsIs(err error, target *errs.Error) bool { return errs.From(err).Is(target) }

func TestServiceKeepsAnImportAliveOverBadItems(t *testing.T) {
	c, _ := startService(t, filepath.Join(t.TempDir(), "users.db"))
	long := strings.Repeat("x", 5000)
	got := importAll(t, c, "bad", itemOf(1, "", nil), itemOf(2, "NO", &userv1.User{Email: long, DisplayName: long}),
		itemOf(-3, "", &userv1.User{}), itemOf(4, "", &userv1.User{Name: long, Etag: long, Email: "a@example.com"}))
	if got.summary.GetFailed() != 3 || got.summary.GetCreated() != 1 {
		t.Fatalf("summary is %v, results %v", got.summary, got.results)
	}
	e := errs.From(status.ErrorProto(got.results[2][0].GetError()))
	if e.Code() != codes.InvalidArgument || len(e.Fields()) != 3 {
		t.Errorf("error is %v with %v", e, e.Fields())
	}
}

func TestServiceDrainsItsStreams(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	var log syncBuffer
	a, drain := startService(t, path, keelsontest.WithLog(&log))
	defer func() {
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	b, _ := startService(t, path)
	w := watch(t, a, &userv1.WatchUsersRequest{})
	wantMessages(t, w, "BOOKMARK end")
	idle := startImport(t, a, "idle")
	wantOK[*userv1.ImportUsersResponse](t)(idle.Recv())
	drained := make(chan error, 1)
	go func() { drained <- drain() }()
	_, err := collect(idle)
	if token, _ := errs.ResumeToken(wantDraining(t, err)); token != "idle" {
		t.Errorf("token of the import is %q", token)
	}
	_, err = w.Recv()
	token, ok := errs.ResumeToken(wantDraining(t, err))
	if !ok {
		t.Fatal("no token of the watch")
	}
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	create(t, b, "anna", nil)
	wantMessages(t, watch(t, b, &userv1.WatchUsersRequest{StartRevision: token}), "ADDED anna")
}

func TestServiceCutsOffAWatcherThatNeverReads(t *testing.T) {
	cfg := internal.DefaultConfig()
	cfg.Store.SQLite.Path = filepath.Join(t.TempDir(), "users.db")
	cfg.Users.Watch.Ring = 16
	left := make(chan struct{}, 8)
	streamEnds := keelson.WithStreamInterceptors(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
		defer func() { left <- struct{}{} }()
		return h(srv, ss)
	})
	conn := keelsontest.Serve(t, func(s *keelson.Service) {
		if err := internal.Register(s, cfg); err != nil {
			t.Fatal(err)
		}
	}, keelsontest.WithServiceOptions(streamEnds))
	c := userv1.NewUserServiceClient(conn)
	s := watch(t, c, &userv1.WatchUsersRequest{})
	wantMessages(t, s, "BOOKMARK end")
	labels := map[string]string{}
	for i := range 60 {
		labels[fmt.Sprintf("key-%d", i)] = strings.Repeat("x", 128)
	}
	for i, cut := 0, false; !cut; i++ { // fills the windows on the way, then falls behind
		create(t, c, fmt.Sprintf("user-%05d", i), &userv1.User{Labels: labels})
		select {
		case <-left:
			cut = true
		default:
		}
	}
	err := newMirror(t).follow(s, "last")
	if _, ok := errs.ResumeToken(err); !ok || errs.Reason(err) != internal.ReasonSlowConsumer {
		t.Fatalf("error is %v", err)
	}
}

func TestConfigurationThatDoesNotFitIsRefused(t *testing.T) {
	for name, args := range map[string][]string{
		"store.postgres.dsn":  {"--set", "store.driver=postgres"},
		"users.watch.max_age": {"--set", "users.watch.max_age=20m"},
		"store.driver":        {"--set", "store.driver=mysql"},
		"users.import.window": {"--set", "users.import.window=0"},
	} {
		t.Run(name, func(t *testing.T) {
			err := internal.Run(t.Context(), args)
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("error is %v; want one that names %s", err, name)
			}
		})
	}
}
