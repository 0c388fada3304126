package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// byGRPCWeb reads the user as a browser's client does.
func (r *rolling) byGRPCWeb(ctx context.Context) error {
	edge, err := r.edge()
	if err != nil {
		return err
	}
	message, err := proto.Marshal(&userv1.GetUserRequest{Name: "users/ada-lovelace"})
	if err != nil {
		return err
	}
	frame := append([]byte{0, 0, 0, 0, byte(len(message))}, message...)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+edge+"/user.v1.UserService/GetUser", bytes.NewReader(frame))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/grpc-web+proto")
	resp, err := r.web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && (!strings.Contains(string(text), "ada@example.com") || !strings.Contains(string(text), "grpc-status: 0")) {
		err = fmt.Errorf("%s %v: %q", resp.Status, resp.Header, text)
	}
	return err
}

// seen are the users that a watcher has heard of.
type seen struct {
	mu    sync.Mutex
	names map[string]bool
}

func (s *seen) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = map[string]bool{}
	}
	s.names[name] = true
}

// lacks returns how many of users are missing.
func (s *seen) lacks(names []string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if !s.names[name] {
			n++
		}
	}
	return n
}

// goesOn tells whether a stream that ended so is to be opened again.
func goesOn(reason string) bool { return reason == errs.ReasonDraining || reason == "WATCH_EXPIRED" }

// watch watches by native gRPC until the context ends, and goes on where it was
// wherever the stream was ended in order.
func (r *rolling) watch(ctx context.Context, s *seen) error {
	after := ""
	for {
		w, err := r.users.WatchUsers(ctx, &userv1.WatchUsersRequest{StartRevision: after})
		for err == nil {
			var m *userv1.WatchUsersResponse
			if m, err = w.Recv(); err == nil {
				s.add(m.GetUser().GetName())
				if m.GetRevision() != "" {
					after = m.GetRevision()
				}
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if !goesOn(errs.From(err).Reason()) {
			return err
		}
	}
}

// watchEvents does so by REST, as an EventSource does.
func (r *rolling) watchEvents(ctx context.Context, s *seen) error {
	after := ""
	for {
		last, err := r.events(ctx, after, s)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		after = last
	}
}

// events reads server-sent events until the one that ends them.
func (r *rolling) events(ctx context.Context, after string, s *seen) (string, error) {
	edge, err := r.edge()
	if err != nil {
		return after, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+edge+"/v1/users:watch", nil)
	if err != nil {
		return after, err
	}
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	resp, err := r.web.Do(req)
	if err != nil {
		return after, err
	}
	defer resp.Body.Close()
	event := ""
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case resp.StatusCode != http.StatusOK:
			return after, ended(lines.Bytes())
		case name == "id":
			after = value
		case name == "event":
			event = value
		case name == "data" && event == "error":
			return after, ended([]byte(value))
		case name == "data":
			var m struct{ User struct{ Name string } }
			if err := json.Unmarshal([]byte(value), &m); err != nil {
				return after, err
			}
			s.add(m.User.Name)
		}
	}
	return after, errors.New("the events ended without one that says so")
}

// ended returns why a stream ended, by a google.rpc.Status as JSON; nil when it is to
// be opened again.
func ended(status []byte) error {
	var s struct{ Details []struct{ Reason string } }
	if err := json.Unmarshal(status, &s); err != nil {
		return fmt.Errorf("%s: %w", status, err)
	}
	for _, d := range s.Details {
		if goesOn(d.Reason) {
			return nil
		}
	}
	return errors.New(string(status))
}

// upload imports users by REST, each once the one before is there, so that it takes
// a while. It begins again, as the same import, when its instance drains.
func (r *rolling) upload(ctx context.Context, id string, users int) error {
	for {
		if done, err := r.uploadOnce(ctx, id, users); done || err != nil {
			return err
		}
	}
}

func (r *rolling) uploadOnce(ctx context.Context, id string, users int) (done bool, err error) {
	edge, err := r.edge()
	if err != nil {
		return false, err
	}
	body, upload := io.Pipe()
	next := make(chan struct{}, users+1)
	var sending sync.WaitGroup
	sending.Go(func() {
		defer upload.Close()
		_, err := fmt.Fprintf(upload, "{\"start\":{\"importId\":%q}}\n", id)
		for n := 1; n <= users && err == nil; n++ {
			_, err = fmt.Fprintf(upload, "{\"item\":{\"sequence\":%d,\"userId\":\"%s-%d\",\"user\":{\"email\":\"%s-%d@example.com\"}}}\n", n, id, n, id, n)
			<-next
		}
	})
	defer sending.Wait()
	defer close(next)
	defer body.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+edge+"/v1/users:import", body)
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := r.web.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	results := 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		var m struct {
			Result *struct{ Name string }
			Status *struct{ Code codes.Code }
		}
		switch err := json.Unmarshal(lines.Bytes(), &m); {
		case err != nil:
			return false, err
		case resp.StatusCode != http.StatusOK:
			return false, ended(lines.Bytes())
		case m.Result != nil && m.Result.Name == "":
			return false, errors.New(lines.Text())
		case m.Result != nil:
			results++
			next <- struct{}{}
		case m.Status != nil && m.Status.Code == codes.OK && results == users:
			return true, nil
		case m.Status != nil:
			var s struct{ Status json.RawMessage }
			_ = json.Unmarshal(lines.Bytes(), &s) // it has just been read
			return false, ended(s.Status)
		}
	}
	return false, fmt.Errorf("the upload ended after %d of %d users without a word", results, users)
}

// TestRollingRestartsLoseNothingOfStreamsThroughGateways restarts gateways and user
// instances while clients watch and upload: what ends in order goes on without a gap,
// and nothing ends otherwise.
func TestRollingRestartsLoseNothingOfStreamsThroughGateways(t *testing.T) {
	r := newRolling(t, "user-a", "user-b")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var watching sync.WaitGroup
	watchers := map[string]*seen{"gRPC": {}, "events": {}}
	for name, watch := range map[string]func(context.Context, *seen) error{"gRPC": r.watch, "events": r.watchEvents} {
		watching.Go(func() {
			if err := watch(ctx, watchers[name]); err != nil {
				t.Errorf("the watch by %s ended: %v", name, err)
			}
		})
	}
	var made []string
	l := &load{t: t, done: make(chan struct{})}
	l.worker("gRPC write", func(ctx context.Context, n int) error {
		id := fmt.Sprintf("user-%d", n)
		made = append(made, "users/"+id)
		_, err := r.users.CreateUser(ctx, &userv1.CreateUserRequest{UserId: id, User: &userv1.User{Email: id + "@example.com"}})
		return err
	})
	uploads := 0
	l.worker("upload", func(ctx context.Context, n int) error {
		uploads++
		return r.upload(ctx, fmt.Sprintf("upload-%d", n), 20)
	})
	r.restart("gateway-a", "user-a", "gateway-b", "user-b")
	close(l.done)
	l.running.Wait()
	for n := range uploads {
		for i := range 20 {
			made = append(made, fmt.Sprintf("users/upload-%d-%d", n, i+1))
		}
	}
	t.Logf("%d users were made, %d uploads", len(made), uploads)
	for name, s := range watchers {
		r.wait("the watch by "+name+" to have heard of all", func() bool { return t.Failed() || s.lacks(made) == 0 })
	}
	cancel()
	watching.Wait()
}
