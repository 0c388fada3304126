package logs

import (
	"strconv"
	"strings"
)

// name is a key that an object of a line has already.
type name struct {
	depth int // of groups
	key   string
}

// unique returns a key that the object does not have yet, and remembers it: a
// line with a key twice is refused by what indexes it. The second use of a key
// becomes key_2.
func (e *encoder) unique(key string) string {
	first := key
	for n := 2; e.has(key); n++ {
		key = first + "_" + strconv.Itoa(n)
	}
	e.names = append(e.names, name{e.depth, key})
	return key
}

func (e *encoder) has(key string) bool {
	for _, n := range e.names {
		if n.depth == e.depth && n.key == key {
			return true
		}
	}
	return false
}

// forget drops the keys of objects that are closed.
func (e *encoder) forget() {
	n := len(e.names)
	for n > 0 && e.names[n-1].depth > e.depth {
		n--
	}
	e.names = e.names[:n]
}

// taken tells whether an attribute on the line itself must not have a key: one
// that the line may have already, or one of the schema's objects, as which an
// index that holds other lines refuses a plain value.
func taken(key string) bool {
	switch key {
	case keyTime, keyLevel, keyMessage, keyECS, keyService, keyVersion, keyNode, keyEnvironment,
		keyTrace, keySpan, keyCorrelation, keyRPCService, keyRPCMethod:
		return true
	case "ecs", "log", "service", "trace", "span", "event", "rpc", "grpc", "client", "server", "labels", "error", "keelson":
		return true
	}
	return strings.HasPrefix(key, "@")
}
