package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// environment applies the layer of the environment, in the order of the names,
// so that a whole struct or map comes before its parts.
func (l *loader) environment(opts Options) {
	environ := opts.Environ
	if environ == nil {
		environ = os.Environ()
	}
	prefix, vars := opts.prefix(), map[string]string{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, prefix) {
			vars[name] = value
		}
	}
	names := make([]string, 0, len(vars))
	for name := range vars {
		if !slices.Contains(opts.Reserved, name) && !serviceLink(name, vars) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		l.variable(name, vars[name], opts)
	}
}

func (l *loader) variable(name, value string, opts Options) {
	src := Source{Kind: Env, Name: name}
	parts := strings.Split(strings.TrimPrefix(name, opts.prefix()), "__")
	p := l.find(parts, variableNaming)
	switch {
	case p.set != nil:
		p.set(value, src)
	case p.node.shape == record:
		l.fault(src, "", suggestVariable(l.schema, name, opts), "unknown variable")
	case p.node.shape == list:
		l.fault(src, p.path, "give the whole list as YAML in "+variableName(opts.prefix(), p.path), "one item of a list cannot be set by a variable")
	default:
		l.fault(src, p.path, "give it as "+variableName(opts.prefix(), p.path), "there is nothing below %s, which is %s", p.path, p.node.what())
	}
}

// variableNaming is how a variable's name stands for keys. In a map, it means
// the entry whose key fits, or else a new one in lower case.
var variableNaming = naming{
	same: sameEnv,
	entry: func(table reflect.Value, rest []string) string {
		written := strings.Join(rest, "__")
		for _, k := range sortedKeys(table) {
			if sameEnv(k, written) {
				return k
			}
		}
		return strings.ToLower(written)
	},
}

// serviceLinks are what Kubernetes puts into the environment of every pod for
// each Service: one that is called keelson would look like ours.
var serviceLinks = regexp.MustCompile(`^(.+?)(_SERVICE_HOST|_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

func serviceLink(name string, vars map[string]string) bool {
	m := serviceLinks.FindStringSubmatch(name)
	if m == nil {
		return false
	}
	_, host := vars[m[1]+"_SERVICE_HOST"]
	_, port := vars[m[1]+"_SERVICE_PORT"]
	return host && port
}

// variableName is the variable that sets path.
func variableName(prefix, path string) string {
	return prefix + envName(strings.ReplaceAll(path, ".", "__"))
}
