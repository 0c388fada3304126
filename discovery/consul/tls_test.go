package consul_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keelson-dev/keelson/discovery/consul"
)

func TestTheAgentProvesWhoItIs(t *testing.T) {
	f := &fake{answer: always(reply{header: said(5), body: listed("a")})}
	agent := httptest.NewUnstartedServer(f)
	agent.Config.ErrorLog = log.New(io.Discard, "", 0)
	agent.StartTLS()
	t.Cleanup(agent.Close)
	plain := newFake(t, f.answer)
	host := agent.Listener.Addr().String()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: agent.Certificate().Raw}), 0o600))

	for name, tt := range map[string]struct {
		cfg  consul.Config
		want string // empty: a list
	}{
		"to the authority":      {consul.Config{Address: agent.URL, CAFile: ca}, ""},
		"without a scheme":      {consul.Config{Address: host, CAFile: ca}, ""},
		"by the name it has":    {consul.Config{Address: agent.URL, CAFile: ca, ServerName: "example.com"}, ""},
		"by another name":       {consul.Config{Address: agent.URL, CAFile: ca, ServerName: "other"}, "server_name"},
		"to an unknown one":     {consul.Config{Address: agent.URL}, "is ca_file that of the agent's authority"},
		"asked in plaintext":    {consul.Config{Address: "http://" + host}, "HTTPS server"},
		"itself in plaintext":   {consul.Config{Address: "https://" + plain.Listener.Addr().String(), CAFile: ca}, "HTTP response to HTTPS client"},
		"to a file of nonsense": {consul.Config{Address: agent.URL, CAFile: os.Args[0]}, "has no PEM certificate"},
		"to no file":            {consul.Config{Address: agent.URL, CAFile: "/nowhere"}, "read ca_file"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := watchOnce(t, newDriver(t, tt.cfg), 1)
			switch {
			case tt.want == "" && (err != nil || len(got[0].Instances) != 1):
				t.Errorf("got %+v and %v, want a list", got, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %+v and %v, want an error with %q", got, err, tt.want)
			}
		})
	}
}
