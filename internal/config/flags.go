package config

import (
	"reflect"
	"strings"
)

// flagNaming is how a dotted path stands for keys. What follows a map is the key
// of one entry, dots included.
var flagNaming = naming{
	same:  sameKey,
	entry: func(_ reflect.Value, rest []string) string { return strings.Join(rest, ".") },
}

// flags applies the layer of the --set flags.
func (l *loader) flags(set []string) {
	src := Source{Kind: Flag, Name: "--set"}
	for _, s := range set {
		path, value, ok := strings.Cut(s, "=")
		if !ok {
			l.fault(src, path, "write --set key=value, for example --set grpc.address=:8443", "there is no = in it")
			continue
		}
		p := l.find(strings.Split(path, "."), flagNaming)
		switch {
		case p.set != nil:
			p.set(value, src)
		case p.node.shape == record:
			l.fault(src, path, l.suggestKey(p.node, p.path, p.rest[0]), "unknown key")
		case p.node.shape == list:
			l.fault(src, path, "give the whole list: --set "+p.path+"='[...]'", "one item of a list cannot be set by a flag")
		default:
			l.fault(src, path, "give it as "+p.path, "there is nothing below %s, which is %s", p.path, p.node.what())
		}
	}
}
