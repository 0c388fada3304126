package repositorytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/keelson-dev/keelson/services/user/repository"
)

func testConcurrency(t *testing.T, f Factory) {
	t.Run("each user is a linearizable register with compare-and-set", func(t *testing.T) { testLinearizable(t, newEnv(t, f)) })
}

// registerInput is one operation on one user's display name.
type registerInput struct {
	id     string
	read   bool
	expect string // the name to replace
	name   string
}

type registerOutput struct {
	name string
	ok   bool
}

// register is the sequential specification, one partition for each user.
func register() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byID := map[string][]porcupine.Operation{}
			for _, op := range history {
				in, _ := op.Input.(registerInput)
				byID[in.id] = append(byID[in.id], op)
			}
			var parts [][]porcupine.Operation
			for _, p := range byID {
				parts = append(parts, p)
			}
			return parts
		},
		Init: func() any { return "start" },
		Step: func(state, input, output any) (bool, any) {
			have, _ := state.(string)
			in, _ := input.(registerInput)
			out, _ := output.(registerOutput)
			switch {
			case in.read:
				return out.name == have, have
			case out.ok:
				return in.expect == have, in.name
			default:
				return in.expect != have && out.name == have, have
			}
		},
	}
}

func testLinearizable(t *testing.T, e *env) {
	ctx := within(t)
	handles := []repository.Store{e.Store, e.another()}
	users := []string{"a", "b"}
	for _, id := range users {
		u := user(id)
		u.DisplayName = "start"
		if _, err := e.Create(ctx, u, repository.Write{}); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	var history []porcupine.Operation
	begin := time.Now()
	parallel(6, func(client int) {
		s := handles[client%2]
		known := map[string]string{"a": "start", "b": "start"}
		for n := range 40 {
			in := registerInput{id: users[rand.IntN(2)], read: rand.IntN(3) == 0, name: fmt.Sprintf("%d-%d", client, n)}
			in.expect = known[in.id]
			call := time.Since(begin).Nanoseconds()
			out, err := operate(ctx, s, in)
			if err != nil {
				t.Errorf("%+v: %v", in, err)
				return
			}
			end := time.Since(begin).Nanoseconds()
			known[in.id] = out.name
			mu.Lock()
			history = append(history, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end})
			mu.Unlock()
		}
	})
	if r := porcupine.CheckOperationsTimeout(register(), history, 30*time.Second); r == porcupine.Illegal {
		t.Error("the history is not linearizable")
	}
}

// operate runs one operation and returns the name that is then known.
func operate(ctx context.Context, s repository.Store, in registerInput) (registerOutput, error) {
	if in.read {
		u, err := s.Get(ctx, in.id)
		return registerOutput{name: u.DisplayName}, err
	}
	w := repository.Write{Match: func(u *repository.User) bool { return u.DisplayName == in.expect }}
	_, err := s.Update(ctx, in.id, rename(in.name), nil, w)
	var ve *repository.VersionError
	if errors.As(err, &ve) {
		return registerOutput{name: ve.Current.DisplayName}, nil
	}
	return registerOutput{name: in.name, ok: err == nil}, err
}

// stepContext ends after it has been asked n times whether it has ended.
type stepContext struct {
	context.Context
	mu   sync.Mutex
	left int
	done chan struct{}
}

func newStepContext(parent context.Context, n int) *stepContext {
	return &stepContext{Context: parent, left: n, done: make(chan struct{})}
}

func (c *stepContext) step() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left > 0 {
		if c.left--; c.left == 0 {
			close(c.done)
		}
	}
}

// Done counts a step.
func (c *stepContext) Done() <-chan struct{} {
	c.step()
	return c.done
}

// Err counts a step and returns context.Canceled when there were enough.
func (c *stepContext) Err() error {
	c.step()
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

func testCancellation(t *testing.T, f Factory) {
	t.Run("at any step a write has its whole effect or none", func(t *testing.T) { testCancelSteps(t, newEnv(t, f)) })
	t.Run("at any instant a write has its whole effect or none", func(t *testing.T) { testCancelInstants(t, newEnv(t, f)) })
	t.Run("reads end with the context's error", func(t *testing.T) {
		e := newEnv(t, f)
		e.create("ann")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, read := range map[string]func() error{
			"get":    func() error { _, err := e.Get(ctx, "ann"); return err },
			"batch":  func() error { _, err := e.BatchGet(ctx, []string{"ann"}); return err },
			"list":   func() error { _, err := e.List(ctx, repository.Query{Limit: 1}); return err },
			"head":   func() error { _, err := e.Head(ctx); return err },
			"events": func() error { _, err := e.Events(ctx, 0, 1); return err },
			"wait":   func() error { _, err := e.Wait(ctx, 0); return err },
			"ping":   func() error { return e.Ping(ctx) },
			"purge":  func() error { _, err := e.Purge(ctx, repository.PurgeRound{Owner: "x"}); return err },
			"import": func() error {
				_, err := e.Import(ctx, repository.ImportBatch{ID: "i", Items: batch("u", 1, 1)})
				return err
			},
		} {
			if err := read(); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: error is %v, want context.Canceled", name, err)
			}
		}
		expired, cancel := context.WithTimeout(t.Context(), -time.Second)
		defer cancel()
		if _, err := e.Create(expired, user("bob"), repository.Write{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the deadline: %v", err)
		}
	})
}

func testCancelSteps(t *testing.T, e *env) {
	for n := 1; n <= 60; n++ {
		id := fmt.Sprint("user-", n)
		ctx := newStepContext(within(t), n)
		_, err := e.Create(ctx, user(id), repository.Write{Request: request(id, "body")})
		checkWhole(t, e, id, err)
	}
}

func testCancelInstants(t *testing.T, e *env) {
	for n := range 60 {
		id := fmt.Sprint("user-", n)
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(3*time.Millisecond))
		_, err := e.Create(ctx, user(id), repository.Write{Request: request(id, "body")})
		cancel()
		checkWhole(t, e, id, err)
	}
}

// checkWhole checks that user, event and request record are all there or all
// missing, and that trying again gives the effect once.
func checkWhole(t *testing.T, e *env, id string, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%s: error is %v, want the context's", id, err)
	}
	ctx := within(t)
	again, errAgain := e.Create(ctx, user(id), repository.Write{Request: request(id, "body")})
	if errAgain != nil {
		t.Fatalf("%s: second try: %v", id, errAgain)
	}
	if err == nil && !again.Replayed {
		t.Fatalf("%s: was done, but is not remembered", id)
	}
	if string(again.Response) != id+"@1" {
		t.Fatalf("%s: answer is %q", id, again.Response)
	}
	var n int
	for _, ev := range events(t, e, 0) {
		if ev.User.ID == id {
			n++
		}
	}
	if n != 1 {
		t.Fatalf("%s: %d events, want 1", id, n)
	}
}
