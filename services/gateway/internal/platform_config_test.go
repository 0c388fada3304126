package internal_test

import (
	"strings"
	"testing"

	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
	"github.com/keelson-dev/keelson/services/gateway/internal"
)

func TestPlatformLinksLeadSomewhere(t *testing.T) {
	for name, tc := range map[string]struct {
		links internal.PlatformLinks
		fault string
	}{
		"none": {internal.PlatformLinks{}, ""},
		"all": {internal.PlatformLinks{
			Trace: "http://127.0.0.1:16686/trace/{trace_id}", ServiceTraces: "https://jaeger.example/search?service={service}",
			ServiceDashboard: "https://grafana.example/d/x?var-service={service}", InstanceDashboard: "https://grafana.example/d/y?var-service={service}&var-instance={instance}",
		}, ""},
		"by correlation ID":  {internal.PlatformLinks{Trace: "https://j.example/search?tags=%7B%22id%22:%22{correlation_id}%22%7D"}, ""},
		"a script":           {internal.PlatformLinks{Trace: "javascript:alert('{trace_id}')"}, "platform.links.trace: "},
		"no host":            {internal.PlatformLinks{Trace: "/trace/{trace_id}"}, "is no URL of a web page"},
		"another scheme":     {internal.PlatformLinks{ServiceTraces: "file:///x/{service}"}, "is no URL of a web page"},
		"a password":         {internal.PlatformLinks{ServiceDashboard: "https://a:b@grafana.example/{service}"}, "has a user name"},
		"host by choice":     {internal.PlatformLinks{ServiceDashboard: "https://{service}.example/"}, "placeholder"},
		"about nothing":      {internal.PlatformLinks{InstanceDashboard: "https://grafana.example/d/{service}"}, "put {instance} into it"},
		"a word unknown":     {internal.PlatformLinks{Trace: "https://j.example/{trace}"}, "has the placeholder {trace}"},
		"half a placeholder": {internal.PlatformLinks{Trace: "https://j.example/{trace_id}/{"}, "brace"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := internal.NewPlatform(internal.PlatformConfig{Links: tc.links}, internal.PlatformSources{})
			if (err == nil) != (tc.fault == "") || err != nil && !strings.Contains(err.Error(), tc.fault) {
				t.Errorf("got %v, want %q", err, tc.fault)
			}
		})
	}
}

func TestPlatformTellsTheConsoleItsLinks(t *testing.T) {
	const trace = "http://127.0.0.1:16686/trace/{trace_id}"
	w := newWorld(t, internal.PlatformConfig{Links: internal.PlatformLinks{Trace: trace}})
	got, err := w.GetConsoleConfig(t.Context(), &platformv1.GetConsoleConfigRequest{Name: "consoleConfig"})
	if err != nil || got.GetName() != "consoleConfig" || got.GetLinks().GetTrace() != trace || got.GetLinks().GetServiceDashboard() != "" || got.GetGateway() != "services/gateway" {
		t.Errorf("got %v, %v", got, err)
	}
}
