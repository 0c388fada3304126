// Package keelson turns a .proto into a production service.
package keelson
