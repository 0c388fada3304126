package platform

import (
	"context"
	"fmt"
	"strings"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Proxy is a TCP proxy in front of a server, with toxiproxy's faults.
type Proxy struct {
	// Port is where clients connect.
	Port  int
	proxy *toxiproxy.Proxy
}

// newProxy listens on a port and forwards to another.
func newProxy(name string, port, upstream int) (*Proxy, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, name, fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", upstream))
	if err := p.Start(); err != nil {
		return nil, fmt.Errorf("start the proxy %s: %w", name, err)
	}
	return &Proxy{Port: port, proxy: p}, nil
}

// Slow delays every answer.
func (p *Proxy) Slow(milliseconds int) error {
	return p.add(fmt.Sprintf(`{"name":"slow","type":"latency","stream":"downstream","attributes":{"latency":%d}}`, milliseconds))
}

// Reset ends every connection with a TCP reset as soon as data pass.
func (p *Proxy) Reset() error {
	return p.add(`{"name":"reset","type":"reset_peer","stream":"downstream","attributes":{"timeout":0}}`)
}

func (p *Proxy) add(toxic string) error {
	if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		return fmt.Errorf("add a fault to the proxy %s: %w", p.proxy.Name, err)
	}
	return nil
}

// Heal removes every fault.
func (p *Proxy) Heal(ctx context.Context) { p.proxy.Toxics.ResetToxics(ctx) }

func (p *Proxy) close() { p.proxy.Stop() }
