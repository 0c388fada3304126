package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// stopLimit is how long an instance may take to drain.
const stopLimit = 40 * time.Second

// Instance is one process of a service. It keeps its name and its ports when it
// is started again.
type Instance struct {
	// Service and ID are its names in the registry.
	Service, ID string
	// Address is where it listens, Advertised what clients are told: a proxy's
	// address, if there is one.
	Address, Advertised string
	// Port and Ops are its ports.
	Port, Ops int
	// TCP and GRPC are the proxies in front of it; nil: none.
	TCP  *Proxy
	GRPC *Faulty

	platform *Platform
	program  string
	env      []string
	proc     *Process
	frozen   bool

	logTo, unread *os.File // nil: the log goes to a file
}

// Process is the present process of the instance.
func (i *Instance) Process() *Process { return i.proc }

// Start starts the instance and waits until it is healthy. It does not wait for
// clients to see it.
func (i *Instance) Start(ctx context.Context) error {
	if err := i.Launch(); err != nil {
		return err
	}
	return i.Ready(ctx)
}

// Launch starts the process and waits for nothing.
func (i *Instance) Launch() error {
	cmd := exec.CommandContext(context.Background(), i.program) //nolint:gosec // it was built here
	cmd.Dir = i.platform.Dir
	cmd.Env = append(os.Environ(),
		"KEELSON_INSTANCE_ID="+i.ID, "KEELSON_LOG__FORMAT=json", "KEELSON_LOG__LEVEL=warn",
		"KEELSON_GRPC__ADDRESS="+i.Address, "KEELSON_GRPC__ADVERTISE="+i.Advertised,
		fmt.Sprintf("KEELSON_OPS__ADDRESS=127.0.0.1:%d", i.Ops), "KEELSON_DEBUG__ADDRESS=off", "KEELSON_DRAIN__QUIET=500ms",
		"GOMAXPROCS=2")
	cmd.Env = append(cmd.Env, i.env...)
	if i.logTo != nil {
		cmd.Stdout, cmd.Stderr = i.logTo, i.logTo
	}
	var err error
	i.proc, err = i.platform.spawn.start(i.ID, i.platform.Dir, cmd)
	i.frozen = false
	if i.logTo != nil {
		err = errors.Join(err, i.logTo.Close()) // the process has its own
		i.logTo = nil
	}
	return err
}

// Ready waits until the instance says that it serves.
func (i *Instance) Ready(ctx context.Context) error {
	conn, err := grpc.NewClient(fmt.Sprintf("passthrough:///127.0.0.1:%d", i.Ops), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	client := grpc_health_v1.NewHealthClient(conn)
	var gone bool
	err = until(ctx, 20*time.Millisecond, func() bool {
		if gone = ended(i.proc); gone {
			return true
		}
		conn.ResetConnectBackoff()
		call, done := context.WithTimeout(ctx, time.Second)
		defer done()
		answer, err := client.Check(call, &grpc_health_v1.HealthCheckRequest{})
		return err == nil && answer.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING
	})
	if err == nil && gone {
		err = fmt.Errorf("it ended: %w", i.proc.err)
	}
	if err != nil {
		return fmt.Errorf("start %s: %w\n%s", i.ID, err, i.proc.tail())
	}
	return nil
}

// Stop drains the instance.
func (i *Instance) Stop() error {
	if !i.running() {
		return nil
	}
	i.Thaw()
	return i.proc.Stop(stopLimit)
}

// Kill ends the instance as a crash of its host would.
func (i *Instance) Kill() {
	if i.running() {
		i.proc.Kill()
	}
	if i.unread != nil {
		_ = i.unread.Close()
		i.unread = nil
	}
}

// Freeze stops the process where it stands: its connections stay, and nothing
// is answered.
func (i *Instance) Freeze() {
	i.frozen = true
	i.proc.Signal(syscall.SIGSTOP)
}

// Thaw lets a frozen process go on.
func (i *Instance) Thaw() {
	if i.frozen {
		i.proc.Signal(syscall.SIGCONT)
		i.frozen = false
	}
}

// Errors returns the lines of the log at level error, for people who look for a
// cause.
func (i *Instance) Errors() []string {
	if i.proc == nil {
		return nil
	}
	var found []string
	for line := range strings.Lines(i.proc.tail()) {
		if strings.Contains(line, `"ERROR"`) || strings.Contains(line, "panic") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func (i *Instance) running() bool { return i.proc != nil && !ended(i.proc) }
