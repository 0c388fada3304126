package internal

import (
	"context"
	"encoding/base64"
	"strings"

	"google.golang.org/protobuf/proto"

	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
)

const (
	// mostPageSize is the most services of a page, and how many there are unless
	// fewer are asked for.
	mostPageSize = 1000
	// pageBytes is after how many bytes a page ends.
	pageBytes = 3 << 20
	// pageMark begins what a page token is made of; the name of the last service
	// comes behind it.
	pageMark = "services after "
)

// ListServices lists services (see the contract in platform.proto).
func (p *Platform) ListServices(_ context.Context, req *platformv1.ListServicesRequest) (*platformv1.ListServicesResponse, error) {
	size := int(req.GetPageSize())
	switch {
	case size < 0:
		return nil, platformInvalid("page_size", "must not be negative; 0 means %d", mostPageSize)
	case size == 0 || size > mostPageSize:
		size = mostPageSize
	}
	after, err := openServicesPage(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	resp := &platformv1.ListServicesResponse{}
	bytes := 0
	for _, s := range p.current().services {
		if s.GetName() <= after {
			continue
		}
		m := s.shown(req.GetHistory())
		if bytes += proto.Size(m); len(resp.Services) == size || len(resp.Services) > 0 && bytes > pageBytes {
			resp.NextPageToken = sealServicesPage(resp.Services[len(resp.Services)-1].GetName())
			break
		}
		resp.Services = append(resp.Services, m)
	}
	return resp, nil
}

// GetService returns one service.
func (p *Platform) GetService(_ context.Context, req *platformv1.GetServiceRequest) (*platformv1.Service, error) {
	s := p.current().find(req.GetName())
	if s == nil {
		return nil, platformNotFound(req.GetName())
	}
	return s.shown(req.GetHistory()), nil
}

// shown is the service, with its whole history if asked for.
func (v *serviceView) shown(history bool) *platformv1.Service {
	if !history {
		return v.Service
	}
	m, _ := v.withHistory(0)
	return m
}

func sealServicesPage(last string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(pageMark + last))
}

func openServicesPage(token string) (after string, err error) {
	if token == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	after, ok := strings.CutPrefix(string(raw), pageMark)
	if err != nil || !ok {
		return "", platformInvalid("page_token", "is not a token of ListServices; pass next_page_token unchanged, or nothing for the first page")
	}
	return after, nil
}

// consoleConfigName is the name of the singleton.
const consoleConfigName = "consoleConfig"

// GetConsoleConfig returns what the console is to know of its surroundings.
func (p *Platform) GetConsoleConfig(_ context.Context, req *platformv1.GetConsoleConfigRequest) (*platformv1.ConsoleConfig, error) {
	if req.GetName() != consoleConfigName {
		return nil, platformInvalid("name", "must be %q", consoleConfigName)
	}
	return &platformv1.ConsoleConfig{
		Name: consoleConfigName, Gateway: platformName(platformID(p.from.Self().Service)),
		Links: &platformv1.ConsoleConfig_Links{
			Trace: p.cfg.Links.Trace, ServiceTraces: p.cfg.Links.ServiceTraces,
			ServiceDashboard: p.cfg.Links.ServiceDashboard, InstanceDashboard: p.cfg.Links.InstanceDashboard,
		},
	}, nil
}
