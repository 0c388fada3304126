package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keelson-dev/keelson"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// scenario is one way of loading a server. It returns how many calls, or
// messages, it made.
type scenario struct {
	Name        string
	Unit        string
	client      bool // measures the client's side, not the server's
	connections int
	watchers    int
	load        func(ctx context.Context, conns []*grpc.ClientConn, d time.Duration) (int64, error)
}

func scenarios() []scenario {
	return []scenario{
		{"64 in flight", "call", false, 4, 0, closedLoop(64)},
		{"2000 per second", "call", false, 4, 0, openLoop(2000)},
		{"64 in flight, 64 connections, 1000 watchers", "call", false, 64, 1000, closedLoop(64)},
		{"2000 per second, 64 connections, 1000 watchers", "call", false, 64, 1000, openLoop(2000)},
		{"streamed messages, 64 streams", "message", false, 4, 0, echoStreams(64)},
		{"client, 64 in flight", "call", true, 4, 0, closedLoop(64)},
		{"client, 2000 per second", "call", true, 4, 0, openLoop(2000)},
		{"client, streamed messages, 64 streams", "message", true, 4, 0, echoStreams(64)},
	}
}

// Result is what one scenario cost, per call or message.
type Result struct {
	Scenario string
	Unit     string
	Variants map[string]Cost
	// Ratio is the chassis's CPU over the bare server's, medians of the same rounds.
	Ratio float64
	// MoreAllocs is how many more allocations the chassis makes.
	MoreAllocs float64
}

// Cost is the median over all rounds.
type Cost struct {
	CPU    time.Duration
	Allocs float64
}

// Report is the whole run and its conditions.
type Report struct {
	Go, OS, Arch string
	CPUs, Rounds int
	Duration     time.Duration
	Results      []Result
}

func measure(ctx context.Context, rounds int, d time.Duration, only, profile string) (*Report, error) {
	report := &Report{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Rounds: rounds, Duration: d}
	var names []string
	for _, sc := range scenarios() {
		names = append(names, sc.Name)
		if only != "" && sc.Name != only {
			continue
		}
		r, err := sc.compare(ctx, rounds, d, profile)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", sc.Name, err)
		}
		report.Results = append(report.Results, r)
	}
	if len(report.Results) == 0 {
		return nil, fmt.Errorf("there is no scenario %q; there are %q", only, names)
	}
	return report, nil
}

// start starts what a variant is measured by: its server, or its client and a bare
// server.
func (sc scenario) start(ctx context.Context, variant, profile string) (*server, error) {
	if sc.client {
		s, err := startServer(ctx, bare, "")
		if err != nil {
			return nil, err
		}
		s.measure = func() (usage, error) { return measureUsage(), nil }
		return s, s.connect(ctx, variant, sc.connections, sc.watchers)
	}
	s, err := startServer(ctx, variant, profile)
	if err != nil {
		return nil, err
	}
	return s, s.connect(ctx, bare, sc.connections, sc.watchers)
}

// compare loads both variants in turn, round by round.
func (sc scenario) compare(ctx context.Context, rounds int, d time.Duration, profile string) (Result, error) {
	variants := []string{bare, chassis}
	costs := map[string][]Cost{}
	servers := map[string]*server{}
	for _, v := range variants {
		s, err := sc.start(ctx, v, profile)
		if s != nil {
			defer s.stop()
		}
		if err != nil {
			return Result{}, err
		}
		servers[v] = s
	}
	for round := range rounds + 1 { // the first one warms up
		for _, v := range variants {
			c, err := servers[v].round(ctx, sc, d)
			if err != nil {
				return Result{}, err
			}
			if round > 0 {
				costs[v] = append(costs[v], c)
			}
		}
	}
	r := Result{Scenario: sc.Name, Unit: sc.Unit, Variants: map[string]Cost{}}
	for v, c := range costs {
		r.Variants[v] = median(c)
	}
	r.Ratio = float64(r.Variants[chassis].CPU) / float64(r.Variants[bare].CPU)
	r.MoreAllocs = r.Variants[chassis].Allocs - r.Variants[bare].Allocs
	return r, nil
}

func median(c []Cost) Cost {
	cpu, allocs := make([]time.Duration, len(c)), make([]float64, len(c))
	for i := range c {
		cpu[i], allocs[i] = c[i].CPU, c[i].Allocs
	}
	slices.Sort(cpu)
	slices.Sort(allocs)
	return Cost{cpu[len(cpu)/2], allocs[len(allocs)/2]}
}

// server is a server process and the connections to it.
type server struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	address string
	client  *keelson.Client // nil: plain grpc-go
	conns   []*grpc.ClientConn
	measure func() (usage, error)
	end     context.CancelFunc // of the watchers
}

func startServer(ctx context.Context, variant, profile string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.CommandContext(ctx, self, "-serve", variant, "-cpuprofile", profile)} //nolint:gosec // this program again
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	// The log goes through a pipe that is read, as in production.
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	s.out = bufio.NewReader(stdout)
	address, err := s.out.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", variant, err)
	}
	s.address, s.measure, s.end = address[:len(address)-1], s.usage, func() {}
	return s, nil
}

// connect makes the connections of a variant, and opens the watchers.
func (s *server) connect(ctx context.Context, variant string, connections, watchers int) (err error) {
	dial := func() (*grpc.ClientConn, error) {
		return grpc.NewClient("passthrough:///"+s.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	if variant == chassis {
		s.client, err = keelson.NewClient("bench", keelson.Config{Log: keelson.LogConfig{Format: "json"}}, keelson.WithLogOutput(io.Discard))
		if err != nil {
			return err
		}
		dial = func() (*grpc.ClientConn, error) { return s.client.Dial(s.address) }
	}
	for range connections {
		conn, err := dial()
		if err != nil {
			return err
		}
		s.conns = append(s.conns, conn)
	}
	return s.watch(ctx, watchers)
}

// watch opens idle streams, spread over the connections.
func (s *server) watch(ctx context.Context, n int) error {
	ctx, s.end = context.WithCancel(ctx)
	for i := range n {
		w, err := userv1.NewUserServiceClient(s.conns[i%len(s.conns)]).WatchUsers(ctx, &userv1.WatchUsersRequest{})
		if err != nil {
			return err
		}
		if _, err := w.Recv(); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) stop() {
	s.end()
	for _, c := range s.conns {
		_ = c.Close()
	}
	if s.client != nil {
		_ = s.client.Close()
	}
	_ = s.in.Close()
	_ = s.cmd.Wait()
}

func (s *server) usage() (usage, error) {
	var u usage
	if _, err := fmt.Fprintln(s.in); err != nil {
		return u, err
	}
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return u, err
	}
	return u, json.Unmarshal(line, &u)
}

func (s *server) round(ctx context.Context, sc scenario, d time.Duration) (Cost, error) {
	before, err := s.measure()
	if err != nil {
		return Cost{}, err
	}
	n, err := sc.load(ctx, s.conns, d)
	if err != nil {
		return Cost{}, err
	}
	after, err := s.measure()
	if err != nil {
		return Cost{}, err
	}
	return Cost{CPU: (after.CPU - before.CPU) / time.Duration(n), Allocs: float64(after.Mallocs-before.Mallocs) / float64(n)}, nil
}

// closedLoop keeps n calls in flight.
func closedLoop(n int) func(context.Context, []*grpc.ClientConn, time.Duration) (int64, error) {
	return func(ctx context.Context, conns []*grpc.ClientConn, d time.Duration) (int64, error) {
		var calls atomic.Int64
		end := time.Now().Add(d)
		err := each(n, func(i int) error {
			c := userv1.NewUserServiceClient(conns[i%len(conns)])
			for time.Now().Before(end) {
				if err := get(ctx, c); err != nil {
					return err
				}
				calls.Add(1)
			}
			return nil
		})
		return calls.Load(), err
	}
}

// openLoop makes calls at a fixed rate, whatever their answers take.
func openLoop(rate int) func(context.Context, []*grpc.ClientConn, time.Duration) (int64, error) {
	return func(ctx context.Context, conns []*grpc.ClientConn, d time.Duration) (int64, error) {
		var wg sync.WaitGroup
		var failed atomic.Pointer[error]
		start, n := time.Now(), int(d.Seconds()*float64(rate))
		for i := range n {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(rate))))
			wg.Go(func() {
				if err := get(ctx, userv1.NewUserServiceClient(conns[i%len(conns)])); err != nil {
					failed.Store(&err)
				}
			})
		}
		wg.Wait()
		if err := failed.Load(); err != nil {
			return 0, *err
		}
		return int64(n), nil
	}
}

func get(ctx context.Context, c userv1.UserServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := c.GetUser(ctx, &userv1.GetUserRequest{Name: "users/ada-lovelace"})
	return err
}

// echoStreams exchanges messages on n streams, one each way at a time.
func echoStreams(n int) func(context.Context, []*grpc.ClientConn, time.Duration) (int64, error) {
	return func(ctx context.Context, conns []*grpc.ClientConn, d time.Duration) (int64, error) {
		var messages atomic.Int64
		end := time.Now().Add(d)
		err := each(n, func(i int) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			ss, err := userv1.NewUserServiceClient(conns[i%len(conns)]).ImportUsers(ctx)
			if err != nil {
				return err
			}
			request := &userv1.ImportUsersRequest{}
			for time.Now().Before(end) {
				if err := ss.Send(request); err != nil {
					return err
				}
				if _, err := ss.Recv(); err != nil {
					return err
				}
				messages.Add(1)
			}
			return ss.CloseSend()
		})
		return messages.Load(), err
	}
}

// each runs f n times at once and returns an error of any.
func each(n int, f func(i int) error) error {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- f(i) }()
	}
	var first error
	for range n {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}
