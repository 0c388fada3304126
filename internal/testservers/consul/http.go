package consultest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/keelson-dev/keelson/internal/testservers/port"
)

// ports are those that an agent listens on, held until it is closed.
type ports struct{ http, server, serf *port.Held }

func holdPorts() (p ports, err error) {
	for _, held := range []**port.Held{&p.http, &p.server, &p.serf} {
		if *held, err = port.Hold(); err != nil {
			p.release()
			return ports{}, err
		}
	}
	return p, nil
}

func (p ports) release() {
	for _, held := range []*port.Held{p.http, p.server, p.serf} {
		if held != nil {
			held.Release()
		}
	}
}

// Do sends a request to the agent's API and reads the JSON of the answer into out, which may be nil. Other statuses than 200 are errors.
func (a *Agent) Do(ctx context.Context, method, path string, body string, out any) error {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+a.Address()+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

func (a *Agent) get(ctx context.Context, path string, out any) error {
	return a.Do(ctx, http.MethodGet, path, "", out)
}

// Wipe makes the agent forget every service that was registered with it, while it keeps running.
func (a *Agent) Wipe(ctx context.Context) error {
	var services map[string]any
	if err := a.get(ctx, "/v1/agent/services", &services); err != nil {
		return err
	}
	for id := range services {
		if err := a.Do(ctx, http.MethodPut, "/v1/agent/service/deregister/"+url.PathEscape(id), "", nil); err != nil {
			return err
		}
	}
	return nil
}
