package internal

import (
	"time"

	"github.com/keelson-dev/keelson/errs"
)

// PlatformDomain is the domain of the reasons of the platform service.
const PlatformDomain = "platform.keelson.dev"

// The reasons of errors of the platform service. They are API: clients decide by
// them.
const (
	ReasonInvalidRequest  = "INVALID_REQUEST"
	ReasonServiceNotFound = "SERVICE_NOT_FOUND"
	ReasonWatchExpired    = "WATCH_EXPIRED"
	ReasonSlowConsumer    = "SLOW_CONSUMER"
)

// platformServiceType is the type of the resource, as in google.api.resource.
const platformServiceType = "platform.keelson.dev/Service"

func platformInvalid(field, format string, args ...any) error {
	e := errs.InvalidArgument(ReasonInvalidRequest, "%s "+format, append([]any{field}, args...)...)
	return e.With(errs.Domain(PlatformDomain), errs.Field(field, "INVALID", e.Message()))
}

func platformNotFound(name string) error {
	return errs.NotFound(ReasonServiceNotFound, "the gateway knows no %q; list the services to see those that it knows", name).
		With(errs.Domain(PlatformDomain), errs.Resource(platformServiceType, name, "", "the gateway does not call it"))
}

func watchExpired() error {
	return errs.Aborted(ReasonWatchExpired, "the watch has reached its age; watch again, and begin with the new snapshot").With(errs.Domain(PlatformDomain))
}

func watchSlow(limit time.Duration) error {
	return errs.Aborted(ReasonSlowConsumer, "the client has not taken a message for %s; watch again, and begin with the new snapshot", limit).With(errs.Domain(PlatformDomain))
}
