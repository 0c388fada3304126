// Package explain shows what holds for a method - its deadline, retries, hedges,
// breaker, cost, roles, limits - and where each value comes from; and where the
// platform runs, who calls it and what they make of each instance.
//
// A running instance knows best: its file and environment count. Without one,
// the contract speaks: the descriptors linked into this program, or those that
// a server's reflection gives.
package explain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/cmd/keelson/internal/call"
	"github.com/keelson-dev/keelson/cmd/keelson/internal/workspace"
	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/policy"
)

// askTimeout bounds one question to an instance.
const askTimeout = 3 * time.Second

// Options say what to explain.
type Options struct {
	// Method is any whole end of a method's name, or of a service's: its methods
	// are listed. Empty: list all methods.
	Method string
	// Target is a service in the registry, or host:port or a URL, which is asked
	// by reflection. Empty: what runs here, and otherwise what is linked in.
	Target string
	// Contract leaves out what runs: only the linked-in contract counts.
	Contract bool
	// JSON prints for programs.
	JSON bool
	// Security is how a target is connected to.
	Security call.Security

	Out io.Writer
}

// Known is a list of methods and who says so.
type Known struct {
	// Origin says in words who tells: an instance, a server or this program.
	Origin string `json:"origin"`
	// Methods are what it tells.
	Methods []policy.Description `json:"methods"`
}

// Run explains.
func Run(ctx context.Context, opts Options) error {
	known, err := gather(ctx, opts)
	if err != nil {
		return err
	}
	if opts.Method == "" {
		return list(opts, known)
	}
	k, d, err := find(opts.Method, known)
	if err != nil {
		if of := ofService(opts.Method, known); of != nil {
			return list(opts, of)
		}
		return err
	}
	var from []Caller
	if !opts.Contract && opts.Target == "" {
		from = callers(ctx, d.Method)
	}
	if opts.JSON {
		return printJSON(opts.Out, struct {
			policy.Description
			Origin  string   `json:"origin"`
			Client  Client   `json:"client"`
			Callers []Caller `json:"callers,omitempty"`
		}{d, k.Origin, clientOf(d), from})
	}
	_, err = io.WriteString(opts.Out, Text(d, k.Origin)+clientOf(d).text()+callersText(from))
	return err
}

// find looks the method up in the first source that has it.
func find(name string, known []Known) (Known, policy.Description, error) {
	var first error
	var all []string
	for _, k := range known {
		names := make([]string, len(k.Methods))
		for i, m := range k.Methods {
			names[i] = m.Method
		}
		i, err := call.Match(name, names)
		if err == nil {
			return k, k.Methods[i], nil
		}
		if strings.Contains(err.Error(), "several") && first == nil {
			first = err
		}
		all = append(all, names...)
	}
	if first == nil {
		_, first = call.Match(name, unique(all))
	}
	return Known{}, policy.Description{}, first
}

// ofService returns the methods of the service with that name, or end of it; nil
// if there is none.
func ofService(name string, known []Known) (of []Known) {
	name = strings.Trim(name, "/")
	for _, k := range known {
		methods := slices.DeleteFunc(slices.Clone(k.Methods), func(m policy.Description) bool {
			service, _, _ := strings.Cut(strings.TrimPrefix(m.Method, "/"), "/")
			return service != name && !strings.HasSuffix(service, "."+name)
		})
		if len(methods) > 0 {
			of = append(of, Known{Origin: k.Origin, Methods: methods})
		}
	}
	return of
}

func unique(names []string) (once []string) {
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			once = append(once, n)
		}
	}
	return once
}

// gather asks everybody who may know, the best first.
func gather(ctx context.Context, opts Options) ([]Known, error) {
	linked := Known{Origin: "the contract, as linked into this program; no running instance was asked", Methods: describe(policy.NewTable(policy.Linked()...))}
	switch {
	case opts.Contract:
		return []Known{linked}, nil
	case opts.Target != "" && strings.ContainsAny(opts.Target, ":/"):
		k, err := reflected(ctx, opts)
		return []Known{k}, err
	}
	registry, err := workspace.FindRegistry()
	if err != nil {
		return nil, err
	}
	if opts.Target != "" {
		instances, err := registry.Require(opts.Target)
		if err != nil {
			return nil, err
		}
		k, err := askAny(ctx, instances)
		return []Known{k}, err
	}
	instances, err := registry.Instances()
	if err != nil {
		return []Known{linked}, nil //nolint:nilerr // nothing runs here: the contract speaks
	}
	services := workspace.Services(instances)
	answers, faults := make([]Known, len(services)), make([]error, len(services))
	var asked sync.WaitGroup
	for i, service := range services {
		asked.Go(func() { answers[i], faults[i] = askAny(ctx, workspace.Of(instances, service)) })
	}
	asked.Wait()
	var known []Known
	for i, k := range answers {
		if faults[i] == nil {
			known = append(known, k)
		}
	}
	return append(known, linked), nil
}

// describe writes a table out.
func describe(t *policy.Table) []policy.Description {
	list := []policy.Description{}
	for _, m := range t.Methods() {
		list = append(list, m.Describe())
	}
	return list
}

// reflected compiles the policy from the contract that a server declares.
func reflected(ctx context.Context, opts Options) (Known, error) {
	t, err := call.ResolveTarget(opts.Target, opts.Security)
	if err != nil {
		return Known{}, err
	}
	client, err := keelson.NewClient("keelson", t.Config, keelson.WithLogOutput(io.Discard))
	if err != nil {
		return Known{}, err
	}
	defer func() { _ = client.Close() }()
	conn, err := client.Dial(t.Dial, grpc.WithDefaultCallOptions(grpc.WaitForReady(false)))
	if err != nil {
		return Known{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	schema, err := call.Reflect(ctx, conn)
	if err != nil {
		return Known{}, err
	}
	defer schema.Close()
	return Known{Origin: "the contract, as " + opts.Target + " declares it by reflection; what its file and environment change is not in it",
		Methods: describe(policy.NewTable(schema.Services...))}, nil
}

// askAny asks the instances, all at once since one that hangs takes long to be
// given up, and returns the answer of the first in the list that has one.
func askAny(ctx context.Context, instances []discovery.Instance) (Known, error) {
	ctx, cancel := context.WithCancel(ctx)
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	answers := make([]Known, len(instances))
	ends := make([]chan error, len(instances))
	for i, in := range instances {
		ends[i] = make(chan error, 1)
		asked.Go(func() {
			var err error
			answers[i], err = ask(ctx, in)
			ends[i] <- err
		})
	}
	var faults []error
	for i, end := range ends {
		err := <-end
		if err == nil {
			return answers[i], nil
		}
		faults = append(faults, err)
	}
	return Known{}, errors.Join(faults...)
}

// ask reads the policy in effect off the debug listener of an instance.
func ask(ctx context.Context, in discovery.Instance) (Known, error) {
	k := Known{Origin: fmt.Sprintf("instance %s, as it runs now (%s)", in.ID, debugURL(in, "policy"))}
	if err := get(ctx, in, "policy", &k.Methods); err != nil {
		return Known{}, fmt.Errorf("ask %s for its policy: %w", in.ID, err)
	}
	return k, nil
}

func debugURL(in discovery.Instance, page string) string {
	return "http://" + in.DebugAddress + "/debug/keelson/" + page
}

// get reads a page of an instance's debug listener.
func get(ctx context.Context, in discovery.Instance, page string, into any) error {
	if in.DebugAddress == "" {
		return errors.New("it has no debug listener; set debug.address to 127.0.0.1:0")
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, debugURL(in, page), nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", req.URL, resp.Status)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(into)
}

// Text writes what holds for one method.
func Text(d policy.Description, origin string) string {
	var b strings.Builder
	retry := "is never sent twice"
	switch {
	case d.Hedgeable:
		retry = "may be sent again, and to two instances at once"
	case d.Retryable:
		retry = "may be sent again"
	}
	fmt.Fprintf(&b, "%s\n%s, %s: %s\n", d.Method, d.Kind, d.Idempotency, retry)
	fmt.Fprintf(&b, "said by %s\n\n", origin)
	rows := [][]string{{"FIELD", "VALUE", "FROM"}}
	for _, f := range d.Fields {
		rows = append(rows, []string{string(f.Name), f.Value, f.Source})
	}
	columns(&b, rows)
	return b.String()
}

// list shows all methods with what differs most.
func list(opts Options, known []Known) error {
	if opts.JSON {
		return printJSON(opts.Out, known)
	}
	rows := [][]string{{"METHOD", "KIND", "TIMEOUT", "ATTEMPTS", "CRITICALITY", "COST"}}
	seen := map[string]bool{}
	for _, k := range known {
		for _, m := range k.Methods {
			if seen[m.Method] || call.Infrastructure(m.Method) {
				continue
			}
			seen[m.Method] = true
			value := map[policy.Field]string{}
			for _, f := range m.Fields {
				value[f.Name] = f.Value
			}
			rows = append(rows, []string{m.Method, m.Kind, value[policy.FieldTimeout], value[policy.FieldRetryAttempts], value[policy.FieldCriticality], value[policy.FieldCost]})
		}
	}
	var b strings.Builder
	columns(&b, rows)
	b.WriteString("\nkeelson explain METHOD says where each value comes from.\n")
	_, err := io.WriteString(opts.Out, b.String())
	return err
}

// columns writes rows aligned, with two spaces between.
func columns(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, row := range rows {
		for i, c := range row {
			if i == len(row)-1 {
				b.WriteString(c + "\n")
				break
			}
			b.WriteString(c + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
		}
	}
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
