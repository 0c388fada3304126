package internal

import "github.com/keelson-dev/keelson"

// Options are what the gateway wants of its chassis.
func Options(Config) ([]keelson.Option, error) {
	return []keelson.Option{keelson.WithErrorDomain(Domain), keelson.WithFrames()}, nil
}
