package keelson_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The house: every folder that holds packages has one place in it. A folder
// covers what is below it. ARCHITECTURE.md tells the same in prose.
var (
	// archLeaves are the leaves; each may import the ones before it.
	archLeaves = []string{"internal/collectors", "internal/nearest", "proto/keelson", "errs", "policy", "call", "target"}
	// archConcerns may import leaves, and nothing of another concern.
	archConcerns = []string{
		"lifecycle", "health", "breaker", "ratelimit", "shed", "hedge", "recovery", "validate", "deadline",
		"identity", "telemetry", "discovery", "balancer",
	}
	// archOptional are linked only by a main that asks for them. They come
	// before the concern they are below.
	archOptional = []string{"edge", "mesh", "console", "identity/oidc", "ratelimit/redis", "discovery/kubernetes"}
	// archTestOnly are imported by tests and by each other.
	archTestOnly = []string{"keelsontest", "internal/testservers", "integration"}
	// archPlumbing is what the root and the commands share: generic code that
	// knows nothing of ours.
	archPlumbing = []string{"internal"}
)

// place is what a package is: its kind, and the folder that gives it.
type archPlace struct{ kind, folder string }

const (
	kindRoot, kindLeaf, kindConcern, kindOptional = "root", "leaf", "concern", "optional"
	kindTest, kindPlumbing, kindCommand           = "test", "plumbing", "command"
	kindService, kindUnknown                      = "service", "unknown"
)

func placeOf(rel string) archPlace {
	if rel == "" {
		return archPlace{kindRoot, ""}
	}
	if strings.HasSuffix(rel, "test") { // discoverytest, repositorytest and their like
		return archPlace{kindTest, rel}
	}
	for _, group := range []struct {
		kind    string
		folders []string
	}{
		{kindTest, archTestOnly}, {kindOptional, archOptional}, {kindLeaf, archLeaves}, {kindConcern, archConcerns},
		{kindPlumbing, archPlumbing}, {kindCommand, []string{"cmd"}},
	} {
		for _, folder := range group.folders {
			if within(rel, folder) {
				return archPlace{group.kind, folder}
			}
		}
	}
	if within(rel, "services") {
		return archPlace{kindService, strings.Join(strings.SplitN(rel, "/", 4)[:2], "/")}
	}
	return archPlace{kindUnknown, rel}
}

// isPublic says whether a package is part of what others may import from the
// chassis.
func isPublic(rel string) bool {
	switch placeOf(rel).kind {
	case kindService, kindCommand, kindPlumbing, kindUnknown:
		return false
	}
	return !slices.Contains(strings.Split(rel, "/"), "internal") && !within(rel, "services") && !within(rel, "integration")
}

// forbidden says why from may not import to; "" if it may.
func forbidden(from, to string) string {
	f, t := placeOf(from), placeOf(to)
	if f.kind == kindTest {
		return ""
	}
	if t.kind == kindTest {
		return "only tests may import it: what a test needs must not be linked into a product"
	}
	switch f.kind {
	case kindLeaf:
		return forbiddenToLeaf(f, t)
	case kindConcern:
		if t.kind == kindLeaf || t == f {
			return ""
		}
		return "a concern imports leaves and nothing else of ours; move what both need to a leaf, or let the root wire them"
	case kindOptional:
		if t.kind == kindRoot || t.kind == kindLeaf || t.kind == kindConcern || t == f {
			return ""
		}
		return "an optional package imports the root, concerns and leaves"
	case kindPlumbing:
		if t.kind == kindPlumbing && within(to, strings.Join(strings.Split(from, "/")[:2], "/")) || t.kind == kindLeaf && within(to, "internal") {
			return ""
		}
		return "packages below /internal know nothing of ours but the leaves there, so that nothing depends on them in a circle"
	case kindRoot:
		if t.kind == kindLeaf || t.kind == kindConcern || t.kind == kindPlumbing {
			return ""
		}
		return "the root wires leaves and concerns; what is optional is added by a main through an Option"
	case kindCommand:
		if t.kind != kindService || within(to, t.folder+"/api") {
			return ""
		}
		return "the command works with any service, and knows none but by its contract"
	case kindService:
		return forbiddenToService(from, to, f, t)
	}
	return ""
}

func forbiddenToLeaf(f, t archPlace) string {
	if t == f || t.kind == kindLeaf && slices.Index(archLeaves, t.folder) < slices.Index(archLeaves, f.folder) {
		return ""
	}
	return "a leaf imports only the leaves before it (" + strings.Join(archLeaves, ", ") + ")"
}

// forbiddenToService is the law inside a service: internal -> api, repository;
// cmd -> internal, repository; repository knows neither.
func forbiddenToService(from, to string, f, t archPlace) string {
	if t.kind != kindService {
		if isPublic(to) {
			return ""
		}
		return "a service imports public packages only, because what it shows must be possible for everybody"
	}
	layer := func(rel, service string) string {
		return strings.SplitN(strings.TrimPrefix(rel, service+"/"), "/", 2)[0]
	}
	in, of := layer(from, f.folder), layer(to, t.folder)
	if f != t {
		if of == "api" {
			return ""
		}
		return "a service knows another one by its api only"
	}
	may := map[string][]string{"api": {"api"}, "internal": {"internal", "api", "repository"}, "repository": {"repository"}, "cmd": {"cmd", "internal", "repository"}}
	if slices.Contains(may[in], of) {
		return ""
	}
	return "inside a service: internal imports api and repository, repository imports neither, cmd imports internal and repository"
}

func TestArchitectureEveryPackageHasAPlaceInTheHouse(t *testing.T) {
	for _, p := range archPackages(t) {
		if placeOf(p.rel()).kind == kindUnknown {
			t.Errorf("%s has no place: give its folder one in arch_test.go (leaf, concern, optional, test or plumbing) and in ARCHITECTURE.md", p.rel())
		}
	}
}

func TestArchitectureImportsKeepTheLaw(t *testing.T) {
	for _, p := range archPackages(t) {
		for _, path := range p.Imports {
			if !within(path, modulePath) {
				continue
			}
			to := strings.TrimPrefix(strings.TrimPrefix(path, modulePath), "/")
			if why := forbidden(p.rel(), to); why != "" {
				t.Errorf("%s (%s) imports %s (%s): %s", archName(p.rel()), placeOf(p.rel()).kind, archName(to), placeOf(to).kind, why)
			}
		}
	}
}

func TestArchitectureServiceTestsKeepToPublicPackages(t *testing.T) {
	for _, p := range archPackages(t) {
		for _, path := range append(slices.Clone(p.TestImports), p.XTestImports...) {
			to := strings.TrimPrefix(strings.TrimPrefix(path, modulePath), "/")
			kind := placeOf(p.rel()).kind
			if kind != kindService || !within(path, modulePath) || within(to, "services") || isPublic(to) || within(to, "internal/testservers") {
				continue
			}
			t.Errorf("the tests of %s import %s: a service's tests, too, use public packages only (internal/testservers aside, which starts real servers)", p.rel(), to)
		}
	}
}

func archName(rel string) string {
	if rel == "" {
		return "keelson (the root)"
	}
	return rel
}

func TestArchitectureTheLawKnowsRightFromWrong(t *testing.T) {
	for _, c := range []struct {
		from, to string
		allowed  bool
	}{
		{"errs", "policy", false},
		{"call", "policy", true},
		{"call", "target", false},
		{"health", "errs", true},
		{"health", "lifecycle", false},
		{"telemetry/logs", "telemetry/internal/intercept", true},
		{"telemetry/logs", "discovery", false},
		{"deadline", "internal/config", false},
		{"breaker", "internal/collectors", true},
		{"", "telemetry/logs", true},
		{"", "discovery/consul", true},
		{"", "keelsontest", false},
		{"discovery/consul", "discovery", true},
		{"discovery/discoverytest", "discovery", true},
		{"internal/config", "errs", false},
		{"internal/config", "internal/nearest", true},
		{"internal/grpcx", "target", false},
		{"services/user/internal", "services/user/repository", true},
		{"services/user/internal", "errs", true},
		{"services/user/internal", "internal/config", false},
		{"services/user/repository", "services/user/api/user/v1", false},
		{"services/user/repository/sqlite", "services/user/internal", false},
		{"services/user/cmd/user", "services/user/internal", true},
		{"services/user/cmd/user", "services/user/api/user/v1", false},
		{"services/gateway/internal", "services/user/api/user/v1", true},
		{"services/gateway/internal", "services/user/repository", false},
		{"cmd/keelson/internal/cli", "services/user/api/user/v1", true},
		{"cmd/keelson/internal/up", "services/user/internal", false},
	} {
		if got := forbidden(c.from, c.to) == ""; got != c.allowed {
			t.Errorf("%s -> %s: allowed %v, want %v", archName(c.from), archName(c.to), got, c.allowed)
		}
	}
}

// archNotLinked is what the root must not bring into a program that only wants
// a chassis, and why.
var archNotLinked = map[string]string{
	"k8s.io":                                 "a registry is chosen by a main",
	"github.com/redis":                       "a shared limiter is chosen by a main",
	"github.com/coreos/go-oidc":              "users' identities are the edge's",
	"github.com/spiffe":                      "a workload API is chosen by a main",
	"connectrpc.com":                         "HTTP and browsers are the edge's",
	"github.com/rs/cors":                     "HTTP and browsers are the edge's",
	"github.com/envoyproxy/go-control-plane": "the mesh is optional",
	"google.golang.org/grpc/xds":             "the mesh is optional",
	"modernc.org":                            "a database is the service's choice",
	"github.com/jackc":                       "a database is the service's choice",
	"github.com/pressly/goose":               "a database is the service's choice",
	"github.com/spf13":                       "command lines are the CLI's",
	"testing":                                "test support stays out of products",
	"github.com/google/go-cmp":               "test support stays out of products",
	"go.uber.org/goleak":                     "test support stays out of products",
	"pgregory.net/rapid":                     "test support stays out of products",
	"github.com/anishathalye/porcupine":      "test support stays out of products",
	"github.com/bufbuild/protocompile":       "the CLI compiles protos; a service has its own linked in",
	"github.com/jhump/protoreflect":          "the CLI compiles protos; a service has its own linked in",
}

func TestArchitectureTheRootLinksOnlyWhatEveryServiceNeeds(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("list what the root links: %v", err)
	}
	for _, dep := range strings.Fields(string(out)) {
		for path, why := range archNotLinked {
			if within(dep, path) {
				t.Errorf("the root links %s: %s; find the way with: go list -deps -f '{{.ImportPath}}: {{.Imports}}' . | grep %s", dep, why, dep)
			}
		}
		if !within(dep, modulePath) {
			continue
		}
		switch place := placeOf(strings.TrimPrefix(strings.TrimPrefix(dep, modulePath), "/")); place.kind {
		case kindOptional, kindTest, kindCommand, kindService:
			t.Errorf("the root links %s, which is %s: a main adds it by an Option", dep, place.kind)
		}
	}
}
