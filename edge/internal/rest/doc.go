// Package rest serves gRPC methods as REST, by their google.api.http rules.
package rest
