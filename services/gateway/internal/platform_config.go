package internal

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// PlatformConfig is what the platform service can be told. The zero value works.
type PlatformConfig struct {
	// MaxAge is when a WatchServices stream ends itself, less up to a tenth at
	// random; 0: 10 min. It must be below the grace that connections get when they
	// reach their age.
	MaxAge time.Duration `yaml:"max_age" default:"10m" min:"1s" doc:"when a watch of services ends itself, less up to a tenth at random; below grpc.connection_age_grace"`
	// Links are where the console points to.
	Links PlatformLinks `yaml:"links"`
}

// PlatformLinks are templates of http or https URLs; empty: no link. A
// placeholder may stand in the path, the query or the fragment.
type PlatformLinks struct {
	// Trace shows one trace.
	Trace string `yaml:"trace" doc:"URL of one trace, with {correlation_id}, which the console needs, or {trace_id}; see docs/console.md for Jaeger's; empty: no link"`
	// ServiceTraces shows the traces of a service.
	ServiceTraces string `yaml:"service_traces" doc:"URL of the traces of a service, with {service}, such as http://127.0.0.1:16686/search?service={service}; empty: no link"`
	// ServiceDashboard shows a service's dashboard.
	ServiceDashboard string `yaml:"service_dashboard" doc:"URL of a service's dashboard, with {service}, such as http://127.0.0.1:3000/d/keelson-service?var-service={service}; empty: no link"`
	// InstanceDashboard shows an instance's dashboard.
	InstanceDashboard string `yaml:"instance_dashboard" doc:"URL of an instance's dashboard, with {instance} and perhaps {service}; empty: no link"`
}

// Validate reports links that lead nowhere.
func (c *PlatformConfig) Validate() error {
	return errors.Join(
		checkLink("trace", c.Links.Trace, []string{"{trace_id}", "{correlation_id}"}, nil),
		checkLink("service_traces", c.Links.ServiceTraces, []string{"{service}"}, nil),
		checkLink("service_dashboard", c.Links.ServiceDashboard, []string{"{service}"}, nil),
		checkLink("instance_dashboard", c.Links.InstanceDashboard, []string{"{instance}"}, []string{"{service}"}),
	)
}

func (c PlatformConfig) withDefaults() PlatformConfig {
	c.MaxAge = orDefault(c.MaxAge, 10*time.Minute)
	return c
}

// placeholder is what a link has in place of a value, placeholderValue what is put
// there to see whether it is a URL.
var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

const placeholderValue = "placeholder-0"

// checkLink reports a template that is no URL of a web page, or that does not
// say what it is about: it needs one of some placeholders and may have others.
func checkLink(key, link string, oneOf, also []string) error {
	if link == "" {
		return nil
	}
	fault := func(format string, args ...any) error {
		return fmt.Errorf("platform.links.%s: %q %s", key, link, fmt.Sprintf(format, args...))
	}
	needs := strings.Join(oneOf, " or ")
	found := false
	for _, p := range placeholder.FindAllString(link, -1) {
		if !slices.Contains(oneOf, p) && !slices.Contains(also, p) {
			return fault("has the placeholder %s, which is not known here; it takes %s", p, strings.Join(slices.Concat(oneOf, also), ", "))
		}
		found = found || slices.Contains(oneOf, p)
	}
	u, err := url.Parse(placeholder.ReplaceAllString(link, placeholderValue))
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fault("is no URL of a web page; begin it with https://host/ or http://host/")
	case u.User != nil:
		return fault("has a user name, which everybody would see who uses the console; leave it out")
	case strings.Contains(u.Host, placeholderValue):
		return fault("has a placeholder in its host; put it behind")
	case strings.ContainsAny(placeholder.ReplaceAllString(link, ""), "{}"):
		return fault("has a brace without its other half")
	case !found:
		return fault("leads to the same page whatever it is about; put %s into it", needs)
	}
	return nil
}
