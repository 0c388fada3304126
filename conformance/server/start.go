package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/policy"

	conformancev1 "github.com/keelson-dev/keelson/conformance/internal/conformancev1"
)

const (
	// anywhere lets the system choose a port of loopback.
	anywhere = "127.0.0.1:0"
	off      = "off"
	// longest is the deadline of calls whose client set none: longer than any of
	// the runner's, so that it changes none of them.
	longest = 30 * time.Second
	// brief is the time of a step of the drain: the runner starts a server for
	// each way to connect and waits until it has ended.
	brief = 200 * time.Millisecond
)

// serve serves what the runner wants until the context ends, and tells it where.
func serve(ctx context.Context, wanted *conformancev1.ServerCompatRequest, native bool, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	tls, err := credentials(wanted, dir)
	if err != nil {
		return fmt.Errorf("write the certificates: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", anywhere)
	if err != nil {
		return err
	}
	cfg := config(wanted)
	if native {
		cfg.GRPC.TLS = tls
	}
	s, err := keelson.New("conformance", cfg, keelson.WithListener(listener), keelson.WithLogOutput(io.Discard))
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	conformancev1.RegisterConformanceServiceServer(s, &service{})
	address := func() string { return listener.Addr().String() }
	if !native {
		e, err := edge.New(s, edge.Config{Address: anywhere, H2C: true, TLS: tls})
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		address = e.Address
	}
	s.Go("tell the runner", func(ctx context.Context) error {
		if err := tell(address(), wanted, out); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
	return s.Run(ctx)
}

// config is what is wanted of the service.
func config(wanted *conformancev1.ServerCompatRequest) keelson.Config {
	cfg := keelson.Config{
		Ops:     keelson.OpsConfig{Address: off},
		Debug:   keelson.DebugConfig{Address: off},
		Log:     keelson.LogConfig{Level: "warn"},
		Drain:   keelson.DrainConfig{Deregister: brief, Propagation: brief, Quiet: brief, Streams: brief, Calls: 2 * longest, Stop: time.Second},
		Methods: []policy.Override{{Method: "/" + conformancev1.ConformanceService_ServiceDesc.ServiceName + "/*", Timeout: longest}},
	}
	if limit := wanted.GetMessageReceiveLimit(); limit > 0 {
		cfg.GRPC.MaxReceive = keelson.Size(limit)
	}
	return cfg
}

// credentials writes the certificates that the runner has made, as a listener
// wants them.
func credentials(wanted *conformancev1.ServerCompatRequest, dir string) (tls keelson.ServerTLS, err error) {
	if !wanted.GetUseTls() {
		return tls, nil
	}
	write := func(name string, pem []byte) string {
		path := filepath.Join(dir, name)
		err = errors.Join(err, os.WriteFile(path, pem, 0o600))
		return path
	}
	tls.CertFile = write("cert.pem", wanted.GetServerCreds().GetCert())
	tls.KeyFile = write("key.pem", wanted.GetServerCreds().GetKey())
	if ca := wanted.GetClientTlsCert(); len(ca) > 0 {
		tls.ClientCAFile = write("client.pem", ca)
	}
	return tls, err
}

// tell tells the runner where the service listens.
func tell(address string, wanted *conformancev1.ServerCompatRequest, out io.Writer) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("the listener has no address: %w", err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return err
	}
	answer := &conformancev1.ServerCompatResponse{Host: host, Port: uint32(number)}
	if wanted.GetUseTls() {
		answer.PemCert = wanted.GetServerCreds().GetCert()
	}
	return writeMessage(out, answer)
}
