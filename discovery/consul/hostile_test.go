package consul_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/consul"
)

func TestEntriesThatAreNonsenseAreLeftOutOneByOne(t *testing.T) {
	replaced := func(old, with string) string { return strings.Replace(element("bad", 1, 100), old, with, 1) }
	for name, bad := range map[string]string{
		"no port":                  element("bad", 0, 100),
		"a port that is none":      element("bad", 70000, 100),
		"a port in words":          replaced(`"Port":1,`, `"Port":"one",`),
		"metadata that is a list":  replaced(`"Meta":{"keelson-debug"`, `"Meta":["x"],"Other":{"keelson-debug"`),
		"an ID that is another's":  replaced(`"keelson-id":"bad"`, `"keelson-id":"good"`),
		"a PID that is none":       replaced(`"keelson-pid":"3464"`, `"keelson-pid":"x"`),
		"a start that is none":     replaced(`"keelson-start":"2026`, `"keelson-start":"x`),
		"an address that is none":  strings.ReplaceAll(element("bad", 1, 100), `"Address":"10.0.0.1"`, `"Address":"0.0.0.0"`),
		"no service":               `{}`,
		"no service but a node":    `{"Node":{"Node":"n1","Address":"10.0.0.1"},"Service":null,"Checks":null}`,
		"brackets inside a string": replaced(`"keelson-pid":"3464"`, `"keelson-pid":"}]\\\"["`),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, always(reply{header: said(5), body: "[" + element("good", 9000, 100) + ",\n " + bad + ", " + element("fine", 9001, 7) + "]\n"}))
			got, err := watchOnce(t, newDriver(t, consul.Config{Address: f.URL}), 1)
			must(t, err)
			if u := got[0]; len(u.Instances) != 2 || u.Instances[0].ID != "good" || u.Instances[1].Weight != 7 || len(u.Invalid) != 1 || u.Invalid[0].Error() == "" {
				t.Errorf("got %+v, want the two good ones and one error", u)
			}
		})
	}
}

func TestAddressesThatOthersWriteAreUnderstood(t *testing.T) {
	for written, want := range map[string]string{
		"10.0.0.9": "10.0.0.9:9000", "": "10.0.0.1:9000", "::1": "[::1]:9000", "[fd00::7]": "[fd00::7]:9000", "shop.example": "shop.example:9000",
	} {
		entry := fmt.Sprintf(`[{"Node": {"Node": "n1", "Address": "10.0.0.1"}, "Service": {"ID": "x", "Service": "user", "Address": %q, "Port": 9000}, "Checks": []}]`, written)
		f := newFake(t, always(reply{header: said(5), body: entry}))
		got, err := watchOnce(t, newDriver(t, consul.Config{Address: f.URL}), 1)
		must(t, err)
		if u := got[0]; len(u.Instances) != 1 || u.Instances[0].Address != want {
			t.Errorf("%q: got %+v, want %s", written, u, want)
		}
	}
}

func TestAStaleListIsAListAndSaysSo(t *testing.T) {
	for name, tt := range map[string]struct {
		header []string
		want   string
		metric float64
	}{
		"no leader":              {[]string{"X-Consul-KnownLeader", "false"}, "knows of no leader", -1},
		"no contact for long":    {[]string{"X-Consul-LastContact", "42000"}, "42s ago", 42},
		"streamed, nothing said": {[]string{"X-Consul-KnownLeader", "false", "X-Consul-Query-Backend", "streaming"}, "", 0},
		"contact a moment ago":   {[]string{"X-Consul-LastContact", "50"}, "", 0.05},
		"part taken by the ACL":  {[]string{"X-Consul-Results-Filtered-By-ACLs", "true"}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, always(reply{header: said(5, tt.header...), body: listed("a")}))
			reg, logs := prometheus.NewRegistry(), &bytes.Buffer{}
			d, err := consul.New(consul.Config{Address: f.URL}, consul.WithRegisterer(reg), consul.WithLogger(slog.New(slog.NewTextHandler(logs, nil))))
			must(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_ = d.Watch(ctx, user, func(u discovery.Update) {
				defer cancel()
				if len(u.Instances) != 1 || !strings.Contains(u.Stale, tt.want) || (u.Stale == "") != (tt.want == "") {
					t.Errorf("got %+v, want one instance and stale %q", u, tt.want)
				}
				if got := gauge(t, reg); got != tt.metric && !(got > 1e300 && tt.metric < 0) {
					t.Errorf("keelson_consul_last_contact_seconds is %v, want %v", got, tt.metric)
				}
			})
			if odd := tt.want != "" || strings.Contains(name, "ACL"); odd != strings.Contains(logs.String(), "with reservations") {
				t.Errorf("log: %q", logs)
			}
		})
	}
}

func gauge(t *testing.T, reg *prometheus.Registry) float64 {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == "keelson_consul_last_contact_seconds" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no such metric")
	return 0
}

func TestARegistryThatNeverRestsIsNotHammered(t *testing.T) {
	f := newFake(t, func(n int, _ *http.Request) reply { return reply{header: said(n + 1), body: listed("a")} })
	start := time.Now()
	_, err := watchOnce(t, newDriver(t, consul.Config{Address: f.URL}), 20)
	must(t, err)
	// Ten at once and four a second, however slow the machine is.
	if n, most := float64(len(f.queries())), 11+4*time.Since(start).Seconds(); n > most {
		t.Errorf("%v queries, want %v at most", n, most)
	}
}

func TestTheEnvironmentOfConsulsToolsIsNotUsed(t *testing.T) {
	for k, v := range map[string]string{
		"CONSUL_HTTP_ADDR": "10.255.255.1:1", "CONSUL_HTTP_TOKEN": "from-environment", "CONSUL_HTTP_TOKEN_FILE": "/nowhere",
		"CONSUL_NAMESPACE": "ns", "CONSUL_PARTITION": "p", "CONSUL_HTTP_SSL": "true", "CONSUL_CACERT": "/nowhere", "HTTP_PROXY": "http://10.255.255.1:1",
	} {
		t.Setenv(k, v)
	}
	f := newFake(t, always(reply{status: 404, body: "unknown service ID"}))
	d := newDriver(t, consul.Config{Address: f.URL})
	if err := d.Check(t.Context(), instance("a", 1)); !errors.Is(err, discovery.ErrNotRegistered) {
		t.Fatalf("Check: %v", err)
	}
	r := f.requests[0]
	if r.Header.Get("X-Consul-Token") != "" || r.URL.Query().Has("ns") || r.URL.Query().Has("partition") {
		t.Errorf("sent %s with %v", r.URL, r.Header)
	}
}

func TestTheTokenIsSentAndNeverShown(t *testing.T) {
	const secret = "b1gs04l-very-secret"
	path := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(path, []byte(secret+"\n"), 0o600))
	for name, cfg := range map[string]consul.Config{"in the configuration": {Token: secret}, "in a file": {TokenFile: path}} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, func(_ int, r *http.Request) reply {
				return reply{status: 403, body: "token " + r.Header.Get("X-Consul-Token") + " is denied"}
			})
			cfg.Address = f.URL
			d := newDriver(t, cfg)
			_, watched := watchOnce(t, d, 1)
			for _, err := range []error{watched, d.Register(t.Context(), instance("a", 1)), d.Check(t.Context(), instance("a", 1)), d.Deregister(t.Context(), instance("a", 1))} {
				if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "*** is denied") {
					t.Errorf("error: %v, want one with the token masked", err)
				}
			}
			if strings.Contains(d.String(), secret) {
				t.Errorf("String: %s", d)
			}
		})
	}
}

func TestARedirectDoesNotCarryTheTokenAway(t *testing.T) {
	elsewhere := newFake(t, always(reply{header: said(1), body: "[]"}))
	f := newFake(t, always(reply{status: 307, header: map[string]string{"Location": elsewhere.URL}}))
	d := newDriver(t, consul.Config{Address: f.URL, Token: "secret"})
	if err := d.Register(t.Context(), instance("a", 1)); err == nil {
		t.Error("Register succeeded")
	}
	if n := len(elsewhere.queries()); n != 0 {
		t.Errorf("%d requests went where the redirect leads", n)
	}
}

func TestParametersThatMeanNothingAreRefusedByName(t *testing.T) {
	d := newDriver(t, consul.Config{})
	for query, want := range map[string]string{
		"ns=team": `"ns"`, "partition=p": `"partition"`, "near=_agent": `"near"`, "tag=": `"tag"`, "dc=a&dc=b": `"dc"`, "Tag=x": `"Tag"`,
	} {
		params, err := url.ParseQuery(query)
		must(t, err)
		err = d.Watch(t.Context(), discovery.Query{Service: "user", Params: params}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error that names %s", query, err, want)
		}
	}
}

func TestInstancesThatConsulCannotHoldAreRefused(t *testing.T) {
	f := newFake(t, always(reply{status: 500}))
	d := newDriver(t, consul.Config{Address: f.URL})
	for want, meta := range map[string]map[string]string{
		`key "version" has a meaning`:   {"version": "v2"},
		`key "keelson-x" has a meaning`: {"keelson-x": "1"},
		`no key "a b"`:                  {"a b": "1"},
		`the value of "big"`:            {"big": strings.Repeat("x", 513)},
	} {
		in := instance("a", 1)
		in.Meta = meta
		if err := d.Register(t.Context(), in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Register: %v, want an error with %q", err, want)
		}
	}
	if n := len(f.queries()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestAnAgentThatTakesARegistrationAndTellsNobodyIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := newFake(t, func(n int, r *http.Request) reply {
		if r.Method == http.MethodPut {
			return reply{}
		}
		if n > 3 { // it was looked for more than once
			cancel()
		}
		return reply{header: said(1, "X-Consul-KnownLeader", "false"), body: "[]"}
	})
	err := newDriver(t, consul.Config{Address: f.URL}).Register(ctx, instance("a", 1))
	if err == nil || !strings.Contains(err.Error(), "the catalog does not show it yet") {
		t.Errorf("Register: %v", err)
	}
}

func TestRequestsAreMetrics(t *testing.T) {
	f := newFake(t, always(reply{status: 403, body: "no"}))
	reg := prometheus.NewRegistry()
	d, err := consul.New(consul.Config{Address: f.URL}, consul.WithRegisterer(reg))
	must(t, err)
	_ = d.Register(t.Context(), instance("a", 1))
	_, _ = watchOnce(t, d, 1)
	if n, err := testutil.GatherAndCount(reg, "keelson_consul_request_duration_seconds"); err != nil || n != 2 {
		t.Errorf("%d series, %v; want those of register and list", n, err)
	}
}
