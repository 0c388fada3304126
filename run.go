package keelson

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/internal/grpcx"
	"github.com/keelson-dev/keelson/lifecycle"
)

// off is the address of a listener that is not wanted.
const off = "off"

// The keepalive profile that both ends share: a client asks after 10 s of
// silence and waits 3 s; a server allows twice as many questions, so that it
// never takes its own clients for attackers (too_many_pings).
const (
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 3 * time.Second
	keepaliveMinTime = keepaliveTime / 2
)

// registrationPatience is how long a start waits for the first outcome of the
// registration, so that an instance that has started can usually be found.
const registrationPatience = time.Second

// registrationName is that of the registry among the reasons of readiness.
const registrationName = "registration"

// live is what exists only while a service runs.
type live struct {
	grpc       *grpc.Server
	listener   net.Listener
	ops, debug *httpServer
	deregister context.CancelFunc
	left       chan struct{} // closed when the registration has ended
}

// Run serves until the context ends, then drains in order and returns nil. Any
// step that fails ends the service, and its error is returned. Run may be
// called once. See [lifecycle.SignalContext] for a context that signals end.
func (s *Service) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return errors.New("run a service: it has run already; make a new one")
	}
	if err := errors.Join(append(s.faults, s.checkDrain())...); err != nil {
		return errors.Join(err, s.client.closeConns(), s.closeListener(), s.closeFronts())
	}
	if s.cfg.loaded != nil { // whoever reloads ends nothing, however early or late
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
	}
	s.routeGRPC(ctx)
	flush := s.core.start()
	s.assemble()
	err := s.explainEnd(s.runner.Run(ctx))
	return errors.Join(err, flush())
}

// assemble puts the steps in their order: it is the one place that says what
// starts after what, and what stops before what.
func (s *Service) assemble() {
	started := s.health.Condition("start")
	listening := s.health.Condition("listener")
	r := s.runner

	// What stops last is added first.
	r.OnStop("client", func(context.Context) error { return s.client.closeConns() })
	if s.cfg.loaded != nil {
		r.OnStart("reload", func(context.Context) error { r.Go("reload", s.watchConfig); return nil })
	}
	r.OnStart("ops listener", s.startOps)
	r.OnStart("debug listener", s.startDebug)
	for _, h := range s.start {
		r.OnStart(h.name, h.run)
	}
	r.OnStart("grpc listener", func(ctx context.Context) error { return s.listen(ctx) })
	for _, f := range s.fronts {
		r.OnStart(f.name+" listener", f.Listen)
	}
	// One step, and the last: once calls are accepted, an end is a drain.
	r.OnStart("serve", func(ctx context.Context) error {
		started.Set(true, "")
		listening.Set(true, "")
		r.Go("grpc server", func(context.Context) error { return s.serveGRPC() })
		s.overHTTP.Store(s.live.grpc)
		for _, f := range s.fronts {
			r.Go(f.name, func(context.Context) error { return f.Serve() })
		}
		return s.register(ctx)
	})

	r.Go("health checks", s.health.Run)
	for _, h := range s.workers {
		r.Go(h.name, h.run)
	}
	r.OnDrain(s.drainSteps()...)

	r.OnStop("ops listener", func(ctx context.Context) error { return s.live.ops.stop(ctx) })
	r.OnStop("debug listener", func(ctx context.Context) error { return s.live.debug.stop(ctx) })
	for _, h := range s.stop {
		r.OnStop(h.name, h.run)
	}
	r.OnStop("grpc server", func(context.Context) error { return s.stopGRPC() })
}

// listen opens the gRPC listener and makes the server; nothing is accepted yet.
func (s *Service) listen(ctx context.Context) error {
	opts, err := s.serverOptions()
	if err != nil {
		return err
	}
	s.live.listener = s.opts.listener
	if s.live.listener == nil {
		if s.live.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.GRPC.Address); err != nil {
			return fmt.Errorf("grpc.address: %w; choose another port, or 0 to let the system choose", err)
		}
	}
	if err := s.validator.Prepare(s.inputs()...); err != nil {
		return fmt.Errorf("prepare the validation of requests: %w", err)
	}
	s.live.grpc = grpc.NewServer(opts...)
	for _, r := range s.services {
		s.live.grpc.RegisterService(r.desc, r.impl)
		s.health.SetServing(r.desc.ServiceName)
	}
	s.health.Register(s.live.grpc)
	if s.cfg.GRPC.Reflection || s.opts.listener != nil || IsLoopback(s.live.listener.Addr().String()) {
		s.reflect()
	}
	return nil
}

// inputs are the messages that the services take.
func (s *Service) inputs() []protoreflect.MessageDescriptor {
	var inputs []protoreflect.MessageDescriptor
	for _, r := range s.services {
		d := serviceDescriptor(r.desc.ServiceName)
		if d == nil {
			continue
		}
		for i := range d.Methods().Len() {
			inputs = append(inputs, d.Methods().Get(i).Input())
		}
	}
	return inputs
}

func (s *Service) serverOptions() ([]grpc.ServerOption, error) {
	g := &s.cfg.GRPC
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(int(g.MaxReceive)),
		grpc.MaxSendMsgSize(int(g.MaxSend)),
		grpc.MaxHeaderListSize(uint32(g.MaxHeaderList)),
		grpc.MaxConcurrentStreams(uint32(g.MaxStreams)),
		grpc.StaticStreamWindowSize(int32(g.StreamWindow)),
		grpc.StaticConnWindowSize(int32(g.ConnectionWindow)),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle:     g.MaxConnectionIdle,
			MaxConnectionAge:      g.MaxConnectionAge,
			MaxConnectionAgeGrace: g.ConnectionGrace,
			Time:                  keepaliveTime,
			Timeout:               keepaliveTimeout,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMinTime, PermitWithoutStream: true}),
		grpc.UnknownServiceHandler(s.unknown()),
		grpcx.HandshakeTimeout(g.HandshakeTimeout),
		grpcx.StreamWorkers(uint32(g.StreamWorkers)),
		grpcx.WaitForHandlers(),
	}
	if g.TLS.enabled() {
		cfg, err := g.TLS.Load("grpc.tls")
		if err != nil {
			return nil, err
		}
		opts = append(opts, grpc.Creds(credentials.NewTLS(cfg)))
	}
	if s.opts.frames {
		opts = append(opts, grpcx.ReceiveFrames())
	}
	return append(opts, s.opts.server...), nil
}

func (s *Service) serveGRPC() error {
	err := s.live.grpc.Serve(s.live.listener)
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// stopGRPC ends what is left of the server, and waits for the handlers.
func (s *Service) stopGRPC() error {
	err := s.closeFronts()
	if s.live.grpc != nil {
		s.endCut(errCut)
		s.live.grpc.Stop()
		s.stopping.Wait()
	}
	return errors.Join(err, s.closeListener())
}

// closeListener closes the gRPC listener, also one that was never served.
func (s *Service) closeListener() error {
	l := s.live.listener
	if l == nil {
		l = s.opts.listener
	}
	if l == nil {
		return nil
	}
	if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the gRPC listener: %w", err)
	}
	return nil
}

// register announces the instance, and keeps it announced until the drain.
func (s *Service) register(ctx context.Context) error {
	s.live.left = make(chan struct{})
	in, err := s.instance()
	if err != nil {
		return err
	}
	s.log.Info("serving", s.addresses(in)...)
	if s.driver == nil {
		close(s.live.left)
		s.live.deregister = func() {}
		return nil
	}
	decided := make(chan struct{}) // closed at the first outcome
	tell := sync.OnceFunc(func() { close(decided) })
	reg, err := discovery.NewRegistration(s.driver, in, discovery.RegistrationConfig{DeregisterTimeout: s.cfg.Drain.Deregister},
		discovery.WithLogger(s.log), discovery.WithRegisterer(s.tel.registry),
		discovery.WithOnState(func(state discovery.State, err error) {
			if state != discovery.StateEnded { // the end makes nothing well
				s.health.Tell(registrationName, err)
			}
			tell()
		}))
	if err != nil {
		return err
	}
	registered, deregister := context.WithCancel(context.Background())
	s.live.deregister = deregister
	s.runner.Go("registration", func(ctx context.Context) error {
		defer close(s.live.left)
		defer context.AfterFunc(ctx, deregister)()
		_ = reg.Run(registered) // it has told the log
		return lifecycle.ErrDone
	})
	select {
	case <-decided:
	case <-time.After(registrationPatience): // a registry that is away holds nobody up
	case <-ctx.Done():
	}
	s.health.Dependency(registrationName, reg.Healthy)
	return nil
}

// instance describes this process to a registry.
func (s *Service) instance() (discovery.Instance, error) {
	address := s.cfg.GRPC.Advertise
	if address == "" {
		var err error
		if address, err = advertised(s.live.listener.Addr()); err != nil {
			return discovery.Instance{}, err
		}
	}
	return discovery.Instance{
		Service: s.name, ID: s.cfg.InstanceID, Address: address,
		OpsAddress: s.live.ops.address(), DebugAddress: s.live.debug.address(),
		Version: s.cfg.Version, Zone: s.cfg.Zone, Weight: s.cfg.Weight, PID: os.Getpid(), StartTime: time.Now(),
		Meta: s.frontAddresses(),
	}, nil
}

// addresses are all listeners of the instance, for the log.
func (s *Service) addresses(in discovery.Instance) []any {
	list := []any{"grpc_address", in.Address, "ops_address", in.OpsAddress, "debug_address", in.DebugAddress}
	for name, address := range in.Meta {
		list = append(list, name, address)
	}
	return list
}

// advertised is the address under which others reach a listener.
func advertised(a net.Addr) (string, error) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String(), nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("find the address to advertise: %w; set grpc.advertise", err)
	}
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			return net.JoinHostPort(ip.IP.String(), fmt.Sprint(tcp.Port)), nil
		}
	}
	return "", errors.New("grpc.advertise: this host has no address but loopback; set the one that others reach it by")
}
