package platform

import (
	"fmt"

	"github.com/keelson-dev/keelson"
)

// clientConfig is the configuration of a client in the lab's own process.
func (p *Platform) clientConfig() (keelson.Config, error) {
	settings := []string{"discovery.driver=file", "discovery.file.dir=" + p.registry()}
	if p.Consul != nil {
		settings = []string{"discovery.driver=consul", "discovery.consul.address=" + p.Consul.members[0].Address}
	}
	settings = append(settings, "log.sample=0", "log.format=json") // of calls only those that fail
	var args []string
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	var cfg keelson.Config
	if err := keelson.LoadConfig(&cfg, args); err != nil {
		return cfg, fmt.Errorf("configure the lab's client: %w", err)
	}
	return cfg, nil
}
