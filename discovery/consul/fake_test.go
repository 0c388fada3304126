package consul_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/consul"
)

// reply is one answer of a fake agent.
type reply struct {
	status int // default 200
	header map[string]string
	body   string
	hang   bool // until the client gives up
}

// fake is an agent whose test says what it answers; it does what a real one cannot be made to do.
type fake struct {
	*httptest.Server
	answer func(n int, r *http.Request) reply

	mu       sync.Mutex
	requests []*http.Request
}

func newFake(t *testing.T, answer func(n int, r *http.Request) reply) *fake {
	t.Helper()
	f := serveFake(answer)
	t.Cleanup(f.Close)
	return f
}

func serveFake(answer func(n int, r *http.Request) reply) *fake {
	f := &fake{answer: answer}
	f.Server = httptest.NewServer(f)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r)
	n := len(f.requests) - 1
	f.mu.Unlock()
	a := f.answer(n, r)
	if a.hang {
		<-r.Context().Done()
		return
	}
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	w.WriteHeader(a.status)
	_, _ = w.Write([]byte(a.body))
}

// queries are those of the requests so far.
func (f *fake) queries() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, r := range f.requests {
		all = append(all, r.URL.Query().Get("index"))
	}
	return all
}

// said are the headers of a healthy agent, changed by pairs of key and value; an empty value takes the header away.
func said(index int, changes ...string) map[string]string {
	h := map[string]string{
		"Content-Type": "application/json", "X-Consul-Index": strconv.Itoa(index), "X-Consul-KnownLeader": "true", "X-Consul-LastContact": "0",
	}
	for i := 0; i < len(changes); i += 2 {
		if h[changes[i]] = changes[i+1]; changes[i+1] == "" {
			delete(h, changes[i])
		}
	}
	return h
}

// listed is a list of instances as an agent writes it.
func listed(ids ...string) string {
	entries := make([]string, len(ids))
	for i, id := range ids {
		entries[i] = element(id, 9000+i, 100)
	}
	return "[" + strings.Join(entries, ",") + "]"
}

// element has the size of a real one.
func element(id string, port, weight int) string {
	address, sid := "10.0.0.1", "user:"+id
	e := api.ServiceEntry{
		Node: &api.Node{
			ID: "3b202482-e10c-52d7-7764-163ff5469650", Node: "n1", Address: address, Datacenter: "dc1",
			TaggedAddresses: map[string]string{"lan": address, "lan_ipv4": address, "wan": address, "wan_ipv4": address},
			Meta:            map[string]string{"consul-network-segment": "", "consul-version": "1.22.5"}, CreateIndex: 13, ModifyIndex: 17,
		},
		Service: &api.AgentService{
			ID: sid, Service: "user", Tags: []string{"v1"}, Address: address, Port: port,
			TaggedAddresses: map[string]api.ServiceAddress{"lan_ipv4": {Address: address, Port: port}, "wan_ipv4": {Address: address, Port: port}},
			Meta: map[string]string{
				"keelson-id": id, "keelson-ops": "10.0.0.1:9091", "keelson-debug": "127.0.0.1:1234", "keelson-pid": "3464",
				"keelson-start": "2026-01-02T03:04:05.678Z", "version": "v1.2.3", "weight": strconv.Itoa(weight), "zone": "west",
			},
			Weights: api.AgentWeights{Passing: weight, Warning: weight / 2}, CreateIndex: 18, ModifyIndex: 18,
		},
		Checks: api.HealthChecks{
			{Node: "n1", CheckID: "serfHealth", Name: "Serf Health Status", Status: "passing", Output: "Agent alive and reachable"},
			{Node: "n1", CheckID: "check:" + sid, Name: "keelson health", Status: "passing", ServiceID: sid, ServiceName: "user", Type: "grpc"},
		},
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// always is an agent that answers every request alike.
func always(a reply) func(int, *http.Request) reply {
	return func(int, *http.Request) reply { return a }
}

// watchOnce runs one Watch until it returns or has delivered the given number of updates.
func watchOnce(t *testing.T, d *consul.Driver, updates int) ([]discovery.Update, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got []discovery.Update
	err := d.Watch(ctx, user, func(u discovery.Update) {
		if got = append(got, u); len(got) == updates {
			cancel()
		}
	})
	if len(got) >= updates {
		return got, nil
	}
	if ctx.Err() != nil {
		t.Fatalf("%d updates after %s, want %d; %v", len(got), patience, updates, err)
	}
	return got, err
}

func TestWhatIsNoAnswerIsAnErrorAndNeverAList(t *testing.T) {
	good := listed("a", "b")
	tests := map[string]struct {
		reply reply
		want  string
	}{
		"a server's error":           {reply{status: 500, body: "No cluster leader"}, "answered 500: No cluster leader"},
		"a proxy's page":             {reply{status: 502, header: said(1, "Content-Type", "text/html"), body: "<html>\n bad  gateway"}, "answered 502: <html> bad gateway"},
		"a proxy's page with 200":    {reply{header: said(1, "Content-Type", "text/html"), body: "<html>log in"}, "is there a proxy"},
		"a page that claims nothing": {reply{header: said(1, "Content-Type", ""), body: "<html>log in"}, "is there a proxy"},
		"a page that claims JSON":    {reply{header: said(1), body: "<html>log in"}, "no JSON list"},
		"a redirect":                 {reply{status: 302, header: map[string]string{"Location": "/login"}}, "answered 302: Found"},
		"a denial":                   {reply{status: 403, body: "Permission denied"}, "service:read"},
		"too many connections":       {reply{status: 429, body: "Your IP is issuing too many"}, "http_max_conns_per_client"},
		"a list that is cut short":   {reply{header: said(1), body: good[:len(good)-20]}, "cut short"},
		"a list in half":             {reply{header: said(1), body: good[:len(good)/2]}, "cut short"},
		"a body that is cut short":   {reply{header: said(1, "Content-Length", strconv.Itoa(len(good)+1)), body: good}, "unexpected EOF"},
		"two lists":                  {reply{header: said(1), body: good + good}, "something behind it"},
		"nothing":                    {reply{header: said(1)}, "no JSON list"},
		"null":                       {reply{header: said(1), body: "null"}, "no JSON list"},
		"an object":                  {reply{header: said(1), body: `{"errors": []}`}, "no JSON list"},
		"a list of something else":   {reply{header: said(1), body: `[1, 2]`}, "broken"},
		"no index":                   {reply{header: said(1, "X-Consul-Index", ""), body: good}, "is this Consul?"},
		"an index that is none":      {reply{header: said(1, "X-Consul-Index", "-1"), body: good}, "is this Consul?"},
		"an empty list without a leader": {
			reply{header: said(1, "X-Consul-KnownLeader", "false"), body: "[]"}, "knows of no leader",
		},
		"a list emptied by ACLs": {reply{header: said(1, "X-Consul-Results-Filtered-By-ACLs", "true"), body: "[]"}, "ACLs filtered it"},
		"an empty list where ACLs deny": {
			reply{header: said(1, "X-Consul-Default-ACL-Policy", "deny"), body: "[]"}, "ACLs deny by default",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, always(tt.reply))
			got, err := watchOnce(t, newDriver(t, consul.Config{Address: f.URL}), 1)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Watch: %v, want an error with %q", err, tt.want)
			}
			if len(got) > 0 {
				t.Errorf("delivered: %+v", got)
			}
		})
	}
}

func TestAnEmptyListIsBelievedWhenTheLeaderConfirmsIt(t *testing.T) {
	tests := map[string]struct {
		leader reply
		want   string // empty: believed
	}{
		"confirmed":     {reply{header: said(7), body: "[]"}, ""},
		"contradicted":  {reply{header: said(7), body: listed("a")}, "the leader does not"},
		"not to be had": {reply{status: 500, body: "No cluster leader"}, "its confirmation failed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, func(_ int, r *http.Request) reply {
				if r.URL.Query().Has("consistent") {
					return tt.leader
				}
				return reply{header: said(5), body: "[]"}
			})
			got, err := watchOnce(t, newDriver(t, consul.Config{Address: f.URL}), 1)
			if tt.want == "" && (err != nil || len(got[0].Instances) != 0 || got[0].Unchanged) {
				t.Errorf("got %+v and %v, want an empty list", got, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Watch: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestTheIndexIsFollowedByItsRules(t *testing.T) {
	tests := map[string]struct {
		indexes []int
		want    []string // what the queries ask for
	}{
		"it grows":                {[]int{5, 6, 7}, []string{"", "5", "6"}},
		"it stays":                {[]int{5, 5, 5}, []string{"", "5", "5"}},
		"it goes back: from anew": {[]int{9, 4, 4}, []string{"", "9", ""}},
		"it is 0: never asked":    {[]int{0, 0, 0}, []string{"", "1", "1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, func(n int, _ *http.Request) reply {
				return reply{header: said(tt.indexes[min(n, len(tt.indexes)-1)]), body: listed("a")}
			})
			updates, err := watchOnce(t, newDriver(t, consul.Config{Address: f.URL}), len(tt.indexes))
			must(t, err)
			for i, u := range updates {
				if u.Unchanged != (i > 0) {
					t.Errorf("update %d: unchanged is %v; an index is no proof of a change", i, u.Unchanged)
				}
			}
			if got := f.queries()[:len(tt.want)]; fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("asked for %q, want %q", got, tt.want)
			}
		})
	}
}
