package zpages

import (
	"bytes"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// Handler serves the page: plain HTML without assets from elsewhere. It is for
// the debug listener, because it names peers.
func (p *Pages) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var body bytes.Buffer
		if err := page.Execute(&body, p.view(time.Now())); err != nil {
			http.Error(w, "render the page: "+err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_, _ = body.WriteTo(w) // a reader that went away is no fault of ours
	})
}

// view is what the page shows.
type view struct {
	Now      time.Time
	Slow     time.Duration
	Bounds   []string
	Methods  []methodView
	InFlight []record
	More     int64
}

type methodView struct {
	Name, Side string
	Latency    []uint64
	Failed     uint64
	Lists      []listView
}

type listView struct {
	Title   string
	Records []record
}

func (p *Pages) view(now time.Time) view {
	v := view{Now: now.UTC(), Slow: p.cfg.Slow}
	for _, b := range bounds {
		v.Bounds = append(v.Bounds, "≥ "+b.String())
	}
	v.InFlight, v.More = p.inFlight(now)
	for _, side := range []call.Side{call.Server, call.Client} {
		p.methods[side].Range(func(k, m any) bool {
			of, isKey := k.(*policy.Method)
			known, isMethod := m.(*method)
			if isKey && isMethod {
				v.Methods = append(v.Methods, known.view(of.FullName, side))
			}
			return true
		})
	}
	slices.SortFunc(v.Methods, func(a, b methodView) int {
		return strings.Compare(a.Side+a.Name, b.Side+b.Name)
	})
	return v
}

func (m *method) view(name string, side call.Side) methodView {
	v := methodView{Name: name, Side: side.String(), Failed: m.failed.Load()}
	for i := range m.latency {
		v.Latency = append(v.Latency, m.latency[i].Load())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range []listView{{"failed", m.failures.latest()}, {"slow", m.slow.latest()}, {"sampled", m.traced.latest()}} {
		if len(l.Records) > 0 {
			v.Lists = append(v.Lists, l)
		}
	}
	return v
}

var page = template.Must(template.New("calls").Funcs(template.FuncMap{
	"clock": func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
	"short": func(d time.Duration) string { return d.Round(time.Microsecond).String() },
}).Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>calls</title>
<style>
body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}
th,td{padding:.2rem .7rem;text-align:left;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}
td.n{text-align:right}.f{color:#b00020}code{font-size:12px}
@media (prefers-color-scheme:dark){body{color:#ddd;background:#111}th,td{border-color:#333}.f{color:#ff6b81}}
</style>
<h1>Calls</h1>
<p>At {{clock .Now}} UTC. Unary calls are slow from {{.Slow}} on.</p>
<h2>By method</h2>
{{if not .Methods}}<p>No call has ended yet.</p>{{else}}
<table><tr><th>side<th>method{{range .Bounds}}<th>{{.}}{{end}}<th>failed</tr>
{{range .Methods}}<tr><td>{{.Side}}<td><a href="#{{.Side}}{{.Name}}">{{.Name}}</a>{{range .Latency}}<td class="n">{{.}}{{end}}<td class="n{{if .Failed}} f{{end}}">{{.Failed}}</tr>
{{end}}</table>{{end}}
<h2>In flight ({{len .InFlight}}{{if .More}} and {{.More}} more{{end}})</h2>
{{if .InFlight}}<table><tr><th>begun<th>for<th>side<th>method<th>peer<th>messages in, out<th>correlation ID<th>trace ID</tr>
{{range .InFlight}}<tr><td>{{clock .Start}}<td class="n">{{short .Duration}}<td>{{.Side}}<td>{{.Method}}<td>{{.Peer}}<td class="n">{{.Received}}, {{.Sent}}<td><code>{{.Correlation}}</code><td><code>{{.Trace}}</code></tr>
{{end}}</table>{{end}}
{{range .Methods}}{{if .Lists}}<h2 id="{{.Side}}{{.Name}}">{{.Side}} {{.Name}}</h2>
{{range .Lists}}<h3>{{.Title}}</h3>
<table><tr><th>begun<th>took<th>code<th>peer<th>attempts<th>correlation ID<th>trace ID<th>error</tr>
{{range .Records}}<tr><td>{{clock .Start}}<td class="n">{{short .Duration}}<td>{{.Code}}<td>{{.Peer}}<td class="n">{{.Attempts}}<td><code>{{.Correlation}}</code><td><code>{{.Trace}}</code><td>{{.Error}}</tr>
{{end}}</table>{{end}}{{end}}{{end}}
</html>
`))
