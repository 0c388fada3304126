package up

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/internal/config"
)

const (
	// DefaultFile is the platform file.
	DefaultFile = "keelson.yaml"
	// MaxInstances is the most instances of one service.
	MaxInstances = 64
)

// File is what keelson.yaml says.
type File struct {
	// Environment is told to every service.
	Environment string `yaml:"environment" doc:"environment of the services; default: development"`
	// Env is the environment of every service.
	Env map[string]string `yaml:"env" doc:"environment variables of every service"`
	// StartTimeout bounds the time until an instance is healthy.
	StartTimeout time.Duration `yaml:"start_timeout" default:"60s" min:"1s" doc:"most time until a started instance is healthy"`
	// DrainTimeout bounds the drain of one instance; then it is killed.
	DrainTimeout time.Duration `yaml:"drain_timeout" default:"40s" min:"1s" doc:"most time for the drain of an instance; then it is killed"`
	// Services are started in this order and stopped in the reverse one.
	Services []Service `yaml:"services" doc:"the services, each after those it needs"`
}

// Service is one service of the platform.
type Service struct {
	// Name is the name under which it is registered.
	Name string `yaml:"name" doc:"name under which the service registers itself"`
	// Package is the Go package of its main, relative to the file.
	Package string `yaml:"package" doc:"Go package of its main, such as ./services/user/cmd/user"`
	// Instances is how many run.
	Instances int `yaml:"instances" default:"1" min:"1" max:"64" doc:"how many instances run"`
	// Args are the arguments of the program.
	Args []string `yaml:"args" doc:"arguments of the program"`
	// Env is the environment of its instances, over that of the platform.
	Env map[string]string `yaml:"env" doc:"environment variables of its instances"`
	// Edge is where its edge listens.
	Edge string `yaml:"edge" doc:"address of its edge, such as 127.0.0.1:8080; where that is taken the system chooses another port"`
	// Open are pages that it serves to browsers, which up suggests.
	Open []string `yaml:"open" doc:"paths of pages of its edge that up suggests, such as /console/"`
	// Try are commands that up suggests, without the name of the program.
	Try []string `yaml:"try" doc:"commands of this program that up suggests, such as: call user ListUsers"`

	foreign []string // settings of the shell that it does not have
}

// ours are variables that up sets for each instance.
var ours = []string{
	"KEELSON_GRPC__ADDRESS", "KEELSON_OPS__ADDRESS", "KEELSON_DEBUG__ADDRESS",
	"KEELSON_DISCOVERY__DRIVER", "KEELSON_DISCOVERY__FILE__DIR", "KEELSON_INSTANCE_ID", "KEELSON_LOG__FORMAT",
}

// ReadFile reads a platform file. The error reports all faults at once.
func ReadFile(path string) (*File, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no platform file %s; go to the directory that has it, or name it with --file", path)
	}
	f := &File{}
	// Keys of the platform come from the file alone: KEELSON_ variables are the services'.
	if _, err := config.Load(f, config.Options{File: path, Environ: []string{}}); err != nil {
		return nil, fmt.Errorf("the platform file has faults:\n%w", err)
	}
	return f, nil
}

// Validate reports what tags cannot say.
func (f *File) Validate() error {
	var faults []error
	fault := func(path, problem, valid string) {
		faults = append(faults, config.Fault{Path: path, Problem: problem, Valid: valid})
	}
	if len(f.Services) == 0 {
		fault("services", "there is none", "give at least one with name and package")
	}
	seen := map[string]bool{}
	for i, s := range f.Services {
		at := fmt.Sprintf("services[%d]", i)
		switch {
		case s.Name == "":
			fault(at+".name", "is missing", "give the name under which the service registers itself")
		case discovery.ValidateService(s.Name) != nil:
			fault(at+".name", discovery.ValidateService(s.Name).Error(), "")
		case seen[s.Name]:
			fault(at+".name", fmt.Sprintf("%q is there already", s.Name), "give each service a name of its own, and several instances with instances")
		}
		seen[s.Name] = true
		if s.Package == "" {
			fault(at+".package", "is missing", "give the Go package of the service's main, such as ./services/user/cmd/user")
		}
		if _, _, err := net.SplitHostPort(s.Edge); s.Edge != "" && err != nil {
			fault(at+".edge", err.Error(), "write host:port, such as 127.0.0.1:8080")
		}
		for j, page := range s.Open {
			if !strings.HasPrefix(page, "/") {
				fault(fmt.Sprintf("%s.open[%d]", at, j), fmt.Sprintf("%q is no path", page), "begin it with a slash, as in /console/")
			}
		}
		faults = append(faults, checkEnv(at+".env", s.Env)...)
	}
	return errors.Join(append(faults, checkEnv("env", f.Env)...)...)
}

func checkEnv(path string, env map[string]string) (faults []error) {
	for name := range env {
		if slices.Contains(ours, name) {
			faults = append(faults, config.Fault{Path: path + "." + name, Problem: "is set by up for each instance", Valid: "leave it out"})
		}
		if name == "" || strings.ContainsAny(name, "=\x00") {
			faults = append(faults, config.Fault{Path: path + "." + name, Problem: "is no name of an environment variable", Valid: ""})
		}
	}
	return faults
}

// environment returns the variables of one instance: what up was started with
// (of settings those that the service has), what the instance needs to be one of
// several, and what the file says.
func (f *File) environment(base []string, s *Service, id, registry string) []string {
	env := slices.DeleteFunc(slices.Clone(base), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(ours, name) || slices.Contains(s.foreign, name) || name == "KEELSON_CONFIG"
	})
	if f.Environment != "" {
		env = append(env, "KEELSON_ENVIRONMENT="+f.Environment)
	}
	env = append(env,
		"KEELSON_GRPC__ADDRESS=127.0.0.1:0",
		"KEELSON_OPS__ADDRESS=127.0.0.1:0",
		"KEELSON_DEBUG__ADDRESS=127.0.0.1:0",
		"KEELSON_DISCOVERY__DRIVER=file",
		"KEELSON_DISCOVERY__FILE__DIR="+registry,
		"KEELSON_INSTANCE_ID="+id,
		"KEELSON_LOG__FORMAT=json",
	)
	for _, more := range []map[string]string{f.Env, s.Env} {
		for name, value := range more {
			env = append(env, name+"="+value) // of equal names the last one counts
		}
	}
	return env
}

// rootOf is the directory of a platform file: packages and data are below it.
func rootOf(path string) string { return filepath.Dir(path) }
