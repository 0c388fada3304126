package consul_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/discovery/consul"
)

func TestAddressesAreUnderstood(t *testing.T) {
	for address, want := range map[string]string{
		"":                             "http://127.0.0.1:8500",
		"10.0.0.1:8500":                "http://10.0.0.1:8500",
		"consul.local":                 "http://consul.local:8500",
		"http://127.0.0.1":             "http://127.0.0.1:8500",
		"https://consul.example":       "https://consul.example:8501",
		"https://consul.example:443":   "https://consul.example:443",
		"http://gateway/consul/":       "http://gateway:8500/consul",
		"[::1]:8500":                   "http://[::1]:8500",
		"unix:///run/consul/http.sock": "unix:///run/consul/http.sock",
	} {
		d, err := consul.New(consul.Config{Address: address})
		if err != nil || d.String() != "consul registry "+want {
			t.Errorf("%q: %v, %v; want %s", address, d, err, want)
		}
	}
	d, err := consul.New(consul.Config{Address: "consul:8501", CAFile: "ca.pem"})
	if err != nil || d.String() != "consul registry https://consul:8501" {
		t.Errorf("with an authority: %v, %v", d, err)
	}
	d, err = consul.New(consul.Config{Datacenter: "east"})
	if err != nil || d.String() != "consul registry http://127.0.0.1:8500 (datacenter east)" {
		t.Errorf("in a datacenter: %v, %v; lists of several would share a copy on disk", d, err)
	}
}

func TestConfigurationsThatCannotBeMeantAreRefused(t *testing.T) {
	for want, cfg := range map[string]consul.Config{
		"has a user name in it":         {Address: "http://me:secret@consul:8500"},
		"address: is not a URL":         {Address: "http://consul:port"},
		"behind ? or #":                 {Address: "http://consul:8500?x=y"},
		"no host or no port":            {Address: "http://:8500"},
		`scheme "ftp"`:                  {Address: "ftp://consul"},
		"is plaintext":                  {Address: "http://127.0.0.1:8500", CAFile: "ca.pem"},
		"token, token_file":             {Token: "a", TokenFile: "b"},
		"a character that no token has": {Token: "a\n"},
		"cert_file, key_file":           {Address: "https://consul", CertFile: "c"},
		"in plaintext":                  {Address: "http://10.0.0.1:8500", Token: "secret"},
		"wait: 11m0s":                   {Wait: 11 * time.Minute},
		"tags: one is empty":            {Tags: []string{"a", ""}},
		"check.deregister_after: 30s":   {Check: consul.CheckConfig{DeregisterAfter: 30 * time.Second}},
		"check.skip_verify":             {Check: consul.CheckConfig{SkipVerify: true}},
		"check.address":                 {Check: consul.CheckConfig{Address: "nowhere"}},
	} {
		_, err := consul.New(cfg)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want an error with %q and no secret", err, want)
		}
	}
	for name, cfg := range map[string]consul.Config{
		"a token over loopback":             {Token: "secret"},
		"a token over TLS":                  {Address: "https://10.0.0.1:8501", Token: "secret"},
		"a token in plaintext, as was said": {Address: "http://10.0.0.1:8500", Token: "secret", Insecure: true},
		"a token over a socket":             {Address: "unix:///run/consul.sock", Token: "secret"},
	} {
		if _, err := consul.New(cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
