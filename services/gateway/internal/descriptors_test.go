package internal_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/services/gateway/internal"
)

func TestAMethodThatIsNewIsServedWithoutARestart(t *testing.T) {
	d := describe(t, echoSet())
	f := newFake(t, echo, d.byV1)
	g := newGateway(t, f, func(s *setup) { s.config.Reflection.Refresh = 100 * time.Millisecond })
	g.knows(t, echoService, "Unary")
	if _, err := g.call(soon(t), "/test.v1.Echo/Newer", "x"); errCode(err) != codes.Unimplemented {
		t.Errorf("a method that nobody described: %v", err)
	}
	s := g.stream(t, soon(t), bidiMethod) // in flight over the change
	s.send(t, "a")
	s.want(t, "A")
	d.set(t, echoSet("Newer"))
	g.knows(t, echoService, "Newer")
	if got, err := g.call(soon(t), "/test.v1.Echo/Newer", "x"); err != nil || got != "X" {
		t.Errorf("the new method answers %q, %v", got, err)
	}
	s.send(t, "b")
	s.want(t, "B")
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := s.end(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream in flight ended with %v", err)
	}
}

func TestAMethodThatSomeInstancesDoNotKnowStays(t *testing.T) {
	d := describe(t, echoSet("Newer"))
	f := newFake(t, echo, d.byV1)
	g := newGateway(t, f, func(s *setup) { s.config.Reflection.Refresh = 100 * time.Millisecond })
	g.knows(t, echoService, "Newer")
	before := g.service.Contract()
	d.set(t, echoSet())
	keelsontest.Eventually(t, "the method to go once it is missed for long", func() bool { return g.service.Contract() != before })
	if _, err := g.call(soon(t), "/test.v1.Echo/Newer", "x"); errCode(err) != codes.Unimplemented {
		t.Errorf("a method that is gone: %v", err)
	}
}

func TestWhenTheGatewayServesTheMethodsAreKnown(t *testing.T) {
	f := newFake(t, echo, describe(t, echoSet()).byV1)
	g := newGateway(t, f, func(s *setup) { s.config.Reflection.StartTimeout = time.Minute })
	if _, err := healthpb.NewHealthClient(g).Check(soon(t), &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	for _, s := range g.service.Contract().Services {
		if s.FullName() == echoService {
			return
		}
	}
	t.Error("the gateway serves, and knows no methods")
}

func TestTheOldReflectionIsAskedToo(t *testing.T) {
	f := newFake(t, echo, describe(t, echoSet()).byV1Alpha)
	newGateway(t, f).knows(t, echoService, "Unary")
	before := f.unserved.Load()
	asker := &internal.Asker{}
	for range 3 {
		if found, err := asker.Ask(soon(t), f.connect(t), 1<<20, echoService); err != nil || found[echoService] == 0 {
			t.Fatalf("%v, %v", found, err)
		}
	}
	if asked := f.unserved.Load() - before; asked != 1 {
		t.Errorf("the new one, which it does not serve, was asked %d times, want 1", asked)
	}
}

func TestABackendWithoutReflectionHoldsUpNoStartAndIsNotAskedAgainSoon(t *testing.T) {
	f := newFake(t, echo)
	var log lines
	g := newGateway(t, f, func(s *setup) {
		s.log, s.config.Reflection.StartTimeout, s.config.Reflection.Refresh = &log, time.Hour, time.Hour
	})
	keelsontest.Eventually(t, "the gateway to serve", func() bool { return strings.Contains(log.text(), `"serving"`) })
	if reply, err := g.call(soon(t), unaryMethod, "a"); reply != "A" {
		t.Errorf("%q, %v", reply, err)
	}
	if n := strings.Count(log.text(), "does not serve gRPC reflection"); n != 1 {
		t.Errorf("that is told %d times, want once: %s", n, log.text())
	}
	if asked := f.unserved.Load(); asked > 4 { // at the start, and when its instance is seen
		t.Errorf("it was asked %d times", asked)
	}
	f.server.Stop()
	f.start(t, describe(t, echoSet()).byV1)
	g.knows(t, echoService, "Unary")
}

func TestABackendIsAskedUntilItAnswers(t *testing.T) {
	f := newFake(t, echo)
	f.server.Stop()
	g := newGateway(t, f)
	if len(g.service.Contract().Services) > 1 { // the platform service is its own
		t.Error("it knows what nobody said")
	}
	f.start(t, describe(t, echoSet()).byV1)
	g.knows(t, echoService, "Unary")
}

// scripted answers reflection with what a test says.
type scripted struct {
	reflectionv1.UnimplementedServerReflectionServer
	answer func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse
}

func (s *scripted) ServerReflectionInfo(ss reflectionv1.ServerReflection_ServerReflectionInfoServer) error {
	for {
		req, err := ss.Recv()
		if err != nil {
			return err
		}
		if err := ss.Send(s.answer(req)); err != nil {
			return err
		}
	}
}

func answers(files ...[]byte) *reflectionv1.ServerReflectionResponse {
	return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_FileDescriptorResponse{
		FileDescriptorResponse: &reflectionv1.FileDescriptorResponse{FileDescriptorProto: files},
	}}
}

func marshaled(t testing.TB, f *descriptorpb.FileDescriptorProto) []byte {
	t.Helper()
	raw, err := proto.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// ask asks a scripted backend.
func ask(t *testing.T, most int, answer func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse) (map[string]int, error) {
	t.Helper()
	f := newFake(t, echo, func(s *grpc.Server) { reflectionv1.RegisterServerReflectionServer(s, &scripted{answer: answer}) })
	return new(internal.Asker).Ask(soon(t), f.connect(t), most, echoService)
}

func TestWhatReflectionSaysIsBoundedAndChecked(t *testing.T) {
	whole := marshaled(t, echoFile())
	for name, tc := range map[string]struct {
		answer func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse
		most   int
		want   string // of the error; empty: none
	}{
		"one file at a time": {func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			return answers(whole)
		}, 1 << 20, ""},
		"too large": {func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			return answers(whole)
		}, 600, "more than 600 bytes"},
		"no descriptor": {func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			return answers([]byte{0xff})
		}, 1 << 20, "read a file descriptor"},
		"twice and differently": {func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			return answers(whole, marshaled(t, echoFile("More")))
		}, 1 << 20, "differently"},
		"imports without end": {func(r *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			name := cmp.Or(r.GetFileByFilename(), "x")
			return answers(marshaled(t, &descriptorpb.FileDescriptorProto{Name: proto.String(name), Dependency: []string{name + "x"}}))
		}, 64 << 20, "after 1000 questions"},
		"an import of itself": {func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			f := echoFile()
			f.Dependency = append(f.Dependency, f.GetName())
			return answers(marshaled(t, f))
		}, 1 << 20, "not valid"},
		"a message of that name": {func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			return answers(marshaled(t, &descriptorpb.FileDescriptorProto{Name: proto.String("x.proto"), Package: proto.String("test.v1"), MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Echo")}}}))
		}, 1 << 20, "no service"},
		"too many methods": {func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			var names []string
			for i := range 1000 {
				names = append(names, fmt.Sprint("M", i))
			}
			return answers(marshaled(t, echoFile(names...)))
		}, 1 << 20, "at most 1000"},
		"an error": {func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_ErrorResponse{ErrorResponse: &reflectionv1.ErrorResponse{ErrorCode: 13, ErrorMessage: "no"}}}
		}, 1 << 20, "code 13"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := ask(t, tc.most, tc.answer)
			if tc.want == "" && (err != nil || found[echoService] != 5 || len(found) != 1) {
				t.Errorf("found %v, %v", found, err)
			}
			if tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) && errCode(err) != codes.ResourceExhausted && errCode(err) != codes.DeadlineExceeded) { // questions are bounded in time too
				t.Errorf("error is %v; want %q in it", err, tc.want)
			}
		})
	}
}

func FuzzDescriptors(f *testing.F) {
	f.Add(marshaled(f, echoFile()), marshaled(f, echoSet().GetFile()[0]))
	f.Add([]byte{0xff}, []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		found, err := internal.Describe([][]byte{a, b}, 1<<20, echoService)
		if err != nil && len(found) > 0 {
			t.Errorf("found %v in spite of %v", found, err)
		}
		for name, methods := range found {
			if name != echoService || methods > 1000 {
				t.Errorf("found %s with %d methods", name, methods)
			}
		}
	})
}

func TestGooglesOwnImportsNeedNotBeGiven(t *testing.T) {
	f := echoFile()
	f.Dependency = append(f.Dependency, "google/api/annotations.proto", "google/rpc/status.proto")
	found, err := ask(t, 1<<20, func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		return answers(marshaled(t, f))
	})
	if err != nil || found[echoService] == 0 {
		t.Errorf("%v, %v", found, err)
	}
}

func TestFilesOfDescriptorsAreChecked(t *testing.T) {
	dir := t.TempDir()
	set := func(files ...*descriptorpb.FileDescriptorProto) []byte {
		raw, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: files})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	imports, again := echoFile(), echoFile("More")
	imports.Dependency = append(imports.Dependency, "other/v1/other.proto")
	whole := set(echoSet().GetFile()...)
	for name, tc := range map[string]struct {
		content []byte // nil: there is no file
		want    string // of the error; empty: none
	}{
		"whole":                    {whole, ""},
		"without basic types":      {set(echoFile()), ""},
		"not there":                {nil, "read"},
		"empty":                    {[]byte{}, "no file descriptors"},
		"a .proto":                 {[]byte("syntax = \"proto3\";"), "no FileDescriptorSet"},
		"cut off":                  {whole[:len(whole)-7], "no FileDescriptorSet"},
		"one file, and no set":     {marshaled(t, echoFile()), "no FileDescriptorSet"},
		"without imports":          {set(imports), "other/v1/other.proto"},
		"a file twice, as it is":   {set(echoFile(), echoFile()), ""},
		"a file twice, and others": {set(echoFile(), again), "differently"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if tc.content != nil {
				if err := os.WriteFile(path, tc.content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg := internal.DefaultConfig()
			cfg.Services, cfg.Descriptors = []internal.ServiceConfig{{Service: echoService, Target: "backend"}}, []string{path}
			switch _, err := internal.New(cfg); {
			case tc.want == "" && err != nil:
				t.Errorf("it is refused: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "descriptors[0]: "+path)):
				t.Errorf("error is %v; want %q in it, and the file", err, tc.want)
			}
		})
	}
}

// TestAFileThatDescribesNothingOfTheAllowListIsTold sees to it that a file of somebody
// else is not taken for the right one.
func TestAFileThatDescribesNothingOfTheAllowListIsTold(t *testing.T) {
	var log lines
	path := echoDescriptors(t)
	f := newFake(t, echo)
	newGateway(t, f, describedBy(path), func(s *setup) {
		s.config.Services[0].Service, s.log = "other.v1.Other", &log
	})
	keelsontest.Eventually(t, "the log to name the file", func() bool { return strings.Contains(log.text(), path) })
}
