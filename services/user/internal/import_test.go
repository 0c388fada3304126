package internal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/internal"
	"github.com/keelson-dev/keelson/services/user/repository"
)

type importStream = grpc.BidiStreamingClient[userv1.ImportUsersRequest, userv1.ImportUsersResponse]

func startImport(t testing.TB, c userv1.UserServiceClient, id string) importStream {
	t.Helper()
	s := wantOK[importStream](t)(c.ImportUsers(soon(t)))
	if err := s.Send(startOf(id)); err != nil {
		t.Fatal(err)
	}
	return s
}

func startOf(id string) *userv1.ImportUsersRequest {
	return &userv1.ImportUsersRequest{Message: &userv1.ImportUsersRequest_Start_{Start: &userv1.ImportUsersRequest_Start{ImportId: id}}}
}

func itemOf(sequence int64, id string, u *userv1.User) *userv1.ImportUsersRequest {
	return &userv1.ImportUsersRequest{Message: &userv1.ImportUsersRequest_Item_{Item: &userv1.ImportUsersRequest_Item{Sequence: sequence, UserId: id, User: u}}}
}

func numbered(n int64) *userv1.ImportUsersRequest {
	return itemOf(n, fmt.Sprintf("user-%06d", n), &userv1.User{Email: fmt.Sprintf("user%d@example.com", n)})
}

// outcome is everything that an import answered.
type outcome struct {
	started *userv1.ImportUsersResponse_Started
	results map[int64][]*userv1.ImportUsersResponse_Result
	summary *userv1.ImportUsersResponse_Summary
}

// collect reads a stream to its end.
func collect(s importStream) (outcome, error) {
	o := outcome{results: map[int64][]*userv1.ImportUsersResponse_Result{}}
	for {
		msg, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return o, nil
		}
		if err != nil {
			return o, err
		}
		switch m := msg.GetMessage().(type) {
		case *userv1.ImportUsersResponse_Started_:
			o.started = m.Started
		case *userv1.ImportUsersResponse_Result_:
			o.results[m.Result.GetSequence()] = append(o.results[m.Result.GetSequence()], m.Result)
		case *userv1.ImportUsersResponse_Summary_:
			o.summary = m.Summary
		}
	}
}

// importAll sends items while it reads the answers.
func importAll(t testing.TB, c userv1.UserServiceClient, id string, items ...*userv1.ImportUsersRequest) outcome {
	t.Helper()
	s := startImport(t, c, id)
	go func() {
		for _, item := range items {
			if s.Send(item) != nil {
				return
			}
		}
		_ = s.CloseSend()
	}()
	return wantOK[outcome](t)(collect(s))
}

func TestImportAnswersEachItemAndSumsUp(t *testing.T) {
	c := newInstance(t)
	create(t, c, "taken", &userv1.User{Email: "taken@example.com"})
	got := importAll(t, c, "first", numbered(7), numbered(3),
		itemOf(4, "No", &userv1.User{Email: "x@example.com"}), itemOf(5, "", nil), itemOf(-1, "", &userv1.User{Email: "y@example.com"}),
		itemOf(6, "taken", &userv1.User{Email: "z@example.com"}), itemOf(8, "", &userv1.User{Email: "TAKEN@example.com"}),
		itemOf(9, "", &userv1.User{Email: "generated@example.com"}), numbered(0))
	if got.started.GetImportId() != "first" || got.started.GetWindow() <= 0 {
		t.Errorf("started is %v", got.started)
	}
	want := &userv1.ImportUsersResponse_Summary{Received: 9, Created: 4, Failed: 5}
	if diff := cmp.Diff(want, got.summary, protocmp.Transform()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	for sequence, name := range map[int64]string{7: "users/user-000007", 3: "users/user-000003", 0: "users/user-000000"} {
		if r := got.results[sequence]; len(r) != 1 || r[0].GetName() != name || r[0].GetReplayed() {
			t.Errorf("item %d is answered by %v; want %s", sequence, r, name)
		}
	}
	for sequence, tt := range map[int64]struct {
		code          codes.Code
		reason, field string
	}{
		4:  {codes.InvalidArgument, internal.ReasonInvalidRequest, "user_id"},
		5:  {codes.InvalidArgument, internal.ReasonInvalidRequest, "user"},
		-1: {codes.InvalidArgument, internal.ReasonInvalidRequest, "sequence"},
		6:  {codes.AlreadyExists, internal.ReasonUserExists, ""},
		8:  {codes.AlreadyExists, internal.ReasonEmailTaken, ""},
	} {
		r := got.results[sequence]
		if len(r) != 1 {
			t.Fatalf("item %d is answered by %v", sequence, r)
		}
		wantError(t, status.ErrorProto(r[0].GetError()), tt.code, tt.reason, tt.field)
	}
	wantOK[*userv1.User](t)(c.GetUser(soon(t), &userv1.GetUserRequest{Name: got.results[9][0].GetName()}))
}

func TestImportWantsAStart(t *testing.T) {
	c := newInstance(t)
	for name, tt := range map[string]struct {
		msgs  []*userv1.ImportUsersRequest
		field string
	}{
		"an item first":  {[]*userv1.ImportUsersRequest{numbered(1)}, "start"},
		"nothing":        {nil, "start"},
		"an empty first": {[]*userv1.ImportUsersRequest{{}}, "start"},
		"no import ID":   {[]*userv1.ImportUsersRequest{startOf("")}, "start.import_id"},
		"a bad one":      {[]*userv1.ImportUsersRequest{startOf("a b")}, "start.import_id"},
		"a long one":     {[]*userv1.ImportUsersRequest{startOf(strings.Repeat("a", 129))}, "start.import_id"},
		"start twice":    {[]*userv1.ImportUsersRequest{startOf("a"), numbered(1), startOf("b")}, "start"},
		"an empty item":  {[]*userv1.ImportUsersRequest{startOf("a"), {}}, "item"},
	} {
		t.Run(name, func(t *testing.T) {
			s := wantOK[importStream](t)(c.ImportUsers(soon(t)))
			for _, m := range tt.msgs {
				if err := s.Send(m); err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
			}
			_ = s.CloseSend()
			_, err := collect(s)
			wantError(t, err, codes.InvalidArgument, internal.ReasonInvalidRequest, tt.field)
		})
	}
}

func TestImportAgainAcknowledgesWithoutDuplicates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	a := serve(t, openStore(t, path), internal.HandlerConfig{})
	b := serve(t, openStore(t, path), internal.HandlerConfig{})
	const n = 1500
	items := make([]*userv1.ImportUsersRequest, n)
	for i := range items {
		items[i] = numbered(int64(i))
	}
	importAll(t, a, "again", items[:1000]...)
	got := importAll(t, b, "again", items...)
	want := &userv1.ImportUsersResponse_Summary{Received: n, Created: n - 1000, Replayed: 1000}
	if diff := cmp.Diff(want, got.summary, protocmp.Transform()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	for i := range int64(n) {
		if r := got.results[i]; len(r) != 1 || r[0].GetName() == "" || r[0].GetReplayed() != (i < 1000) {
			t.Fatalf("item %d is answered by %v", i, r)
		}
	}
	if users := listAll(t, a, &userv1.ListUsersRequest{PageSize: 1000}); len(users) != n {
		t.Errorf("there are %d users; want %d", len(users), n)
	}
	// Another import has items of its own.
	other := importAll(t, a, "other", itemOf(0, "", &userv1.User{Email: "other@example.com"}))
	if other.summary.GetCreated() != 1 {
		t.Errorf("another import: %v", other.summary)
	}
}

func TestImportOfTheSameAtTwoInstancesAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	instances := []*instance{serve(t, openStore(t, path), internal.HandlerConfig{}), serve(t, openStore(t, path), internal.HandlerConfig{})}
	const n = 400
	items := make([]*userv1.ImportUsersRequest, n)
	for i := range items {
		items[i] = itemOf(int64(i), "", &userv1.User{Email: fmt.Sprintf("user%d@example.com", i)})
	}
	outcomes := make([]outcome, 4)
	var wg sync.WaitGroup
	for i := range outcomes {
		wg.Go(func() { outcomes[i] = importAll(t, instances[i%2], "same", items...) })
	}
	wg.Wait()
	var created int64
	for _, o := range outcomes {
		created += o.summary.GetCreated()
		if o.summary.GetFailed() > 0 || o.summary.GetReceived() != n {
			t.Errorf("summary is %v", o.summary)
		}
	}
	if created != n {
		t.Errorf("%d were created by all together; want %d", created, n)
	}
	if users := listAll(t, instances[0], &userv1.ListUsersRequest{PageSize: 1000}); len(users) != n {
		t.Errorf("there are %d users; want %d", len(users), n)
	}
}

func TestImportSequencesNameOneItem(t *testing.T) {
	c := newInstance(t)
	got := importAll(t, c, "one", numbered(1), numbered(1), itemOf(1, "other", &userv1.User{Email: "other@example.com"}))
	if want := (&userv1.ImportUsersResponse_Summary{Received: 3, Created: 1, Replayed: 1, Failed: 1}); !cmp.Equal(want, got.summary, protocmp.Transform()) {
		t.Errorf("summary is %v; want %v", got.summary, want)
	}
	var failed *userv1.ImportUsersResponse_Result
	for _, r := range got.results[1] {
		if r.GetError() != nil {
			failed = r
		}
	}
	wantError(t, status.ErrorProto(failed.GetError()), codes.InvalidArgument, internal.ReasonSequenceReused, "sequence")
	again := importAll(t, c, "one", itemOf(1, "user-000001", &userv1.User{Email: "changed@example.com"}))
	wantError(t, status.ErrorProto(again.results[1][0].GetError()), codes.InvalidArgument, internal.ReasonSequenceReused, "sequence")
	if _, err := c.GetUser(soon(t), &userv1.GetUserRequest{Name: "users/other"}); err == nil {
		t.Error("the other item was stored")
	}
}

// slowStore holds imports back until it is told to go on, and counts.
type slowStore struct {
	repository.Store
	entered chan int // sizes of batches as they come
	release chan struct{}
	stored  atomic.Int64
}

func (s *slowStore) Import(ctx context.Context, b repository.ImportBatch) ([]repository.ImportResult, error) {
	select {
	case s.entered <- len(b.Items):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-s.release:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.stored.Add(int64(len(b.Items)))
	return s.Store.Import(ctx, b)
}

func TestImportStopsReadingWhenItsWindowIsFull(t *testing.T) {
	store := &slowStore{Store: newStore(t), entered: make(chan int), release: make(chan struct{})}
	received := make(chan struct{}, 1000)
	count := grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
		return h(srv, &countingStream{ss, received})
	})
	c := serve(t, store, internal.HandlerConfig{Import: internal.ImportConfig{Window: 8, Batch: 4}}, count)
	s := startImport(t, c, "window")
	const n = 50
	for i := range int64(n) { // fits into gRPC's own flow control
		if err := s.Send(numbered(i)); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.CloseSend()
	first := <-store.entered // an item that comes alone waits for nobody
	for range 9 {            // start, and a window
		<-received
	}
	if first > 4 {
		t.Errorf("the first batch has %d items; the limit is 4", first)
	}
	store.release <- struct{}{}
	batches := []int{first}
	done := make(chan outcome, 1)
	go func() {
		o, err := collect(s)
		if err != nil {
			t.Error(err)
		}
		done <- o
	}()
	for {
		select {
		case size := <-store.entered:
			// Acknowledged are at least all that were stored before this batch.
			if ahead := len(received) + 9 - 1 - int(store.stored.Load()); ahead > 8 {
				t.Errorf("%d items were read and not stored; the window is 8", ahead)
			}
			batches = append(batches, size)
			store.release <- struct{}{}
		case o := <-done:
			if o.summary.GetCreated() != n {
				t.Errorf("summary is %v", o.summary)
			}
			if len(batches) >= n {
				t.Errorf("batches are %v: nothing was stored together", batches)
			}
			return
		}
	}
}

type countingStream struct {
	grpc.ServerStream
	received chan struct{}
}

func (s *countingStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		s.received <- struct{}{}
	}
	return err
}

func TestImportFinishesWhatItReadWhenTheInstanceDrains(t *testing.T) {
	store := &slowStore{Store: newStore(t), entered: make(chan int), release: make(chan struct{})}
	c := serve(t, store, internal.HandlerConfig{})
	s := startImport(t, c, "drained")
	if err := s.Send(numbered(1)); err != nil {
		t.Fatal(err)
	}
	<-store.entered
	close(c.drain)
	store.release <- struct{}{}
	got, err := collect(s)
	e := wantDraining(t, err)
	if token, _ := errs.ResumeToken(e); token != "drained" {
		t.Errorf("token is %q; want the import's ID", token)
	}
	if len(got.results[1]) != 1 || got.summary != nil {
		t.Errorf("results %v, summary %v", got.results, got.summary)
	}
}

func TestImportThatWaitsEndsWhenTheInstanceDrains(t *testing.T) {
	c := newInstance(t)
	s := startImport(t, c, "idle")
	wantOK[*userv1.ImportUsersResponse](t)(s.Recv())
	close(c.drain)
	_, err := collect(s)
	wantDraining(t, err)
}

// TestImportOfABusyClientEndsWhenTheInstanceDrains never lets the queue run dry:
// the drain finishes what was read when it began, not what goes on coming.
func TestImportOfABusyClientEndsWhenTheInstanceDrains(t *testing.T) {
	store := &slowStore{Store: newStore(t), entered: make(chan int), release: make(chan struct{})}
	c := serve(t, store, internal.HandlerConfig{Import: internal.ImportConfig{Window: 8, Batch: 2}})
	s := startImport(t, c, "busy")
	sent := make(chan struct{})
	go func() { // until the stream ends
		defer close(sent)
		for n := int64(1); s.Send(numbered(n)) == nil; n++ {
			continue
		}
	}()
	<-store.entered
	close(c.drain)
	ended := make(chan error, 1)
	go func() { _, err := collect(s); ended <- err }()
	for batches := 0; ; {
		select {
		case store.release <- struct{}{}:
		case <-store.entered:
			if batches++; batches > 2*8 {
				t.Fatalf("%d batches were stored after the drain had begun, of a window of 8 items", batches)
			}
		case err := <-ended:
			wantDraining(t, err)
			<-sent
			return
		}
	}
}

// stuckStream takes the first message; a second one meets a window that the
// client never opens.
type stuckStream struct {
	grpc.ServerStream
	sent  int
	stuck chan<- struct{}
}

func (s *stuckStream) SendMsg(m any) error {
	if s.sent++; s.sent == 1 {
		return s.ServerStream.SendMsg(m)
	}
	s.stuck <- struct{}{}
	<-s.Context().Done()
	return s.Context().Err()
}

func TestImportWhoseClientReadsNothingEndsWhenTheInstanceDrains(t *testing.T) {
	stuck := make(chan struct{}, 1)
	watch := grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
		return h(srv, &stuckStream{ServerStream: ss, stuck: stuck})
	})
	c := serve(t, newStore(t), internal.HandlerConfig{}, watch)
	s := startImport(t, c, "unread")
	if err := s.Send(numbered(1)); err != nil {
		t.Fatal(err)
	}
	<-stuck
	close(c.drain)
	_, err := collect(s)
	wantDraining(t, err)
}

func wantDraining(t testing.TB, err error) error {
	t.Helper()
	err = errs.FromWire(err)
	if !errors.Is(err, errs.Unavailable(errs.ReasonDraining, "")) {
		t.Fatalf("error is %v; want DRAINING", err)
	}
	return err
}

// brokenStore fails a number of imports before they reach the store, and as
// many after it has stored them.
type brokenStore struct {
	repository.Store
	failures atomic.Int64
}

func (s *brokenStore) Import(ctx context.Context, b repository.ImportBatch) ([]repository.ImportResult, error) {
	if s.failures.Add(-1) >= 0 {
		_, err := s.Store.Import(ctx, b)
		return nil, errors.Join(err, repository.ErrUnavailable)
	}
	return s.Store.Import(ctx, b)
}

func TestImportOutlastsAStoreThatFailsForAMoment(t *testing.T) {
	store := &brokenStore{Store: newStore(t)}
	store.failures.Store(2)
	c := serve(t, store, internal.HandlerConfig{})
	got := importAll(t, c, "broken", numbered(1), numbered(2))
	if got.summary.GetFailed() > 0 || got.summary.GetReceived() != 2 {
		t.Errorf("summary is %v", got.summary)
	}
	if users := listAll(t, c, &userv1.ListUsersRequest{}); len(users) != 2 {
		t.Errorf("there are %d users; want 2", len(users))
	}
}

func TestImportEndsWhenTheStoreStaysAway(t *testing.T) {
	store := &brokenStore{Store: newStore(t)}
	store.failures.Store(1 << 30)
	c := serve(t, store, internal.HandlerConfig{})
	s := startImport(t, c, "away")
	if err := s.Send(numbered(1)); err != nil {
		t.Fatal(err)
	}
	_, err := collect(s)
	wantError(t, err, codes.Unavailable, internal.ReasonStoreUnavailable, "")
}
