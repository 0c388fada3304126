// Package discovery keeps instances in a registry and finds them there. (See below.)
package discovery
