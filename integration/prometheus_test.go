package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/keelson-dev/keelson/internal/testservers/port"
)

// requireServers says that tests which need a real server must not be skipped.
const requireServers = "KEELSONTEST_REQUIRE_SERVERS"

// prometheusPath and promtoolPath are where Debian's package puts them.
const (
	prometheusPath = "/usr/bin/prometheus"
	promtoolPath   = "/usr/bin/promtool"
)

func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := os.Stat(program); err == nil {
		return
	}
	text := program + " is not installed (apt-get install prometheus)"
	if os.Getenv(requireServers) == "1" {
		t.Fatal(text + ", and " + requireServers + "=1")
	}
	t.Skip(text)
}

// prometheus is a real one that scrapes instances.
type prometheus struct {
	t    *testing.T
	base string
}

// startPrometheus starts a Prometheus that scrapes the ops listeners of
// instances every second.
func (p *platform) startPrometheus(instances []*instance, args ...string) *prometheus {
	p.t.Helper()
	var targets []string
	for _, i := range instances {
		targets = append(targets, strconv.Quote(i.OpsAddress))
	}
	dir := p.t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: user\n  static_configs: [{targets: [%s]}]\n", strings.Join(targets, ", "))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	address := port.Free(p.t) // Prometheus cannot report a port that it chooses
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(prometheusPath, append(args, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)...) //nolint:gosec // ours
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = log.Close()
	})
	return &prometheus{p.t, "http://" + address}
}

// get asks the API, and returns the error while there is no answer.
func (p *prometheus) get(path string, query url.Values, into any) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// query returns the one number that a query answers, and whether it did.
func (p *prometheus) query(q string) (float64, bool) {
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
		Error string `json:"error"`
	}
	if err := p.get("/api/v1/query", url.Values{"query": {q}}, &answer); err != nil {
		return 0, false
	}
	if answer.Error != "" {
		p.t.Fatalf("%s: %s", q, answer.Error)
	}
	if len(answer.Data.Result) != 1 {
		return 0, false
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil
}

func (p *platform) startThree() []*instance {
	var all []*instance
	for _, id := range []string{"a", "b", "c"} {
		all = append(all, p.start(id, "KEELSON_TRACE__RATIO=1", "KEELSON_LOG__LEVEL=error"))
	}
	return all
}

func TestARealPrometheusAnswersWhatDashboardsAsk(t *testing.T) {
	needs(t, prometheusPath)
	p := newPlatform(t)
	instances := p.startThree()
	ctx, cancel := context.WithCancel(t.Context())
	c := startCallers(ctx, p.users(), 2)
	defer c.done.Wait()
	defer cancel()
	const method = `{grpc_service="user.v1.UserService",grpc_method="GetUser",grpc_code="NotFound"}`
	const timed = `{grpc_service="user.v1.UserService",grpc_method="GetUser"}`
	tests := []struct {
		name     string
		args     []string
		quantile string
		series   string // that has the exemplars
	}{
		{"native histograms", []string{"--enable-feature=native-histograms", "--enable-feature=exemplar-storage"},
			`histogram_quantile(0.99, sum(rate(grpc_server_handling_seconds` + timed + `[10s])))`, "grpc_server_handling_seconds"},
		{"classic histograms", []string{"--enable-feature=exemplar-storage"},
			`histogram_quantile(0.99, sum by (le) (rate(grpc_server_handling_seconds_bucket` + timed + `[10s])))`, "grpc_server_handling_seconds_bucket"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			p := &platform{t: t, dir: p.dir}
			prom := p.startPrometheus(instances, tc.args...)
			queries := map[string]func(float64) bool{
				`sum(up)`: func(v float64) bool { return v == 3 },
				`count(rate(grpc_server_handled_total` + method + `[10s]) > 0)`: func(v float64) bool { return v == 3 },
				tc.quantile: func(v float64) bool { return v > 0 && v < 10 },
				`count(count by (instance, version, goversion) (keelson_build_info{service="user"}))`: func(v float64) bool { return v == 3 },
				`sum(process_resident_memory_bytes)`:                                                  func(v float64) bool { return v > 1<<20 },
				`sum(go_goroutines)`:                                                                  func(v float64) bool { return v > 3 },
				`count(keelson_registration_registered == 1)`:                                         func(v float64) bool { return v == 3 },
			}
			for q, right := range queries {
				p.wait("an answer to "+q, func() bool { v, ok := prom.query(q); return ok && right(v) })
			}
			p.wait("exemplars", func() bool { return prom.exemplar(tc.series) != "" })
		})
	}
}

// exemplar returns the trace ID of an exemplar that Prometheus keeps of a series.
func (p *prometheus) exemplar(series string) string {
	var answer struct {
		Data []struct {
			Exemplars []struct {
				Labels map[string]string `json:"labels"`
			} `json:"exemplars"`
		} `json:"data"`
	}
	now := time.Now()
	query := url.Values{
		"query": {series},
		"start": {now.Add(-time.Minute).Format(time.RFC3339)}, "end": {now.Add(time.Minute).Format(time.RFC3339)},
	}
	if err := p.get("/api/v1/query_exemplars", query, &answer); err != nil {
		return ""
	}
	for _, series := range answer.Data {
		for _, e := range series.Exemplars {
			if len(e.Labels["trace_id"]) == 32 {
				return e.Labels["trace_id"]
			}
		}
	}
	return ""
}

func TestPromtoolHasNothingToSayAboutTheMetrics(t *testing.T) {
	needs(t, promtoolPath)
	p := newPlatform(t)
	i := p.start("a")
	ctx, cancel := context.WithCancel(t.Context())
	c := startCallers(ctx, p.users(), 1)
	p.wait("calls", func() bool { return c.count() > 10 })
	cancel()
	c.done.Wait()
	text, err := scrape(t.Context(), i.OpsAddress)
	if err != nil {
		t.Fatal(err)
	}
	check := exec.Command(promtoolPath, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// What callers make up must not become series, lines apart, or state.
func TestHostileMethodNamesMakeNoSeries(t *testing.T) {
	p := newPlatform(t)
	i := p.start("a")
	conn, err := grpc.NewClient(i.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	names := []string{"/a/b", "/user.v1.UserService/getuser", "/user.v1.UserService/GetUser/", "//", "/evil\xff/\xc3", "/" + strings.Repeat("x", 4000) + "/y"}
	for n := range 200 {
		names = append(names, fmt.Sprintf("/made.up.Service%d/Method%d", n, n))
	}
	for _, name := range names {
		if err := conn.Invoke(t.Context(), name, &emptypb.Empty{}, &emptypb.Empty{}); status.Code(err) != codes.Unimplemented {
			t.Errorf("%.50q: %v", name, err)
		}
	}
	text, err := scrape(t.Context(), i.OpsAddress)
	if err != nil {
		t.Fatal(err)
	}
	for _, evil := range []string{"made.up", "evil", "xxxx", "getuser"} {
		if strings.Contains(text, evil) {
			t.Errorf("the metrics hold %q", evil)
		}
	}
	handled, err := gauge(t.Context(), i.OpsAddress, "grpc_server_handled_total", `grpc_service="unknown"`, `grpc_code="Unimplemented"`)
	if err != nil || int(handled) != len(names) {
		t.Errorf("counted %v of %d calls of unknown methods (%v)", handled, len(names), err)
	}
	if open, err := gauge(t.Context(), i.OpsAddress, "grpc_server_in_flight_calls", `grpc_service="unknown"`); err != nil || open != 0 {
		t.Errorf("in flight: %v, %v", open, err)
	}
}
