package call

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/internal/nearest"
)

// maxCandidates is how many methods an error lists.
const maxCandidates = 8

// FindMethod finds the method that a name means; see [Match].
func FindMethod(name string, services []protoreflect.ServiceDescriptor) (protoreflect.MethodDescriptor, error) {
	var all []protoreflect.MethodDescriptor
	var names []string
	for _, s := range services {
		for i := range s.Methods().Len() {
			all = append(all, s.Methods().Get(i))
			names = append(names, FullName(s.Methods().Get(i)))
		}
	}
	i, err := Match(name, names)
	if err != nil {
		return nil, err
	}
	return all[i], nil
}

// FullName is a method's name on the wire: /package.Service/Method.
func FullName(m protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
}

// Match returns the index of the full name (/package.Service/Method) that a
// name means: the whole of it, or any end that is whole, such as
// UserService/GetUser or GetUser. Dots and slashes are the same; case counts
// only if the name fits several. Methods of gRPC's own services stand back when
// another one has the name.
func Match(name string, all []string) (int, error) {
	if len(all) == 0 {
		return 0, fmt.Errorf("find method %s: no methods are known there", name)
	}
	wanted := dotted(name)
	found := matches(all, wanted, func(s string) string { return s })
	if len(found) == 0 {
		found = matches(all, wanted, strings.ToLower)
	}
	if len(found) > 1 {
		others := slices.DeleteFunc(slices.Clone(found), func(i int) bool { return Infrastructure(all[i]) })
		if len(others) > 0 {
			found = others
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return 0, fmt.Errorf("there is no method %q; there are, nearest first: %s", name, candidates(name, all))
	default:
		several := make([]string, len(found))
		for i, f := range found {
			several[i] = all[f]
		}
		return 0, fmt.Errorf("several methods are called %q; say which one: %s", name, candidates(name, several))
	}
}

// dotted writes a name with dots only.
func dotted(name string) string { return strings.ReplaceAll(strings.Trim(name, "/"), "/", ".") }

func matches(all []string, wanted string, fold func(string) string) (found []int) {
	if wanted == "" {
		return nil
	}
	for i, name := range all {
		if full := fold(dotted(name)); full == fold(wanted) || strings.HasSuffix(full, "."+fold(wanted)) {
			found = append(found, i)
		}
	}
	return found
}

// Infrastructure tells that a method belongs to gRPC or telemetry itself.
func Infrastructure(fullName string) bool {
	for _, p := range []string{"/grpc.health.", "/grpc.reflection.", "/opentelemetry."} {
		if strings.HasPrefix(fullName, p) {
			return true
		}
	}
	return false
}

// candidates lists methods as they may be typed, the nearest first and gRPC's
// own last.
func candidates(name string, all []string) string {
	last := func(s string) string { return s[strings.LastIndexAny(s, "./")+1:] }
	byName := map[string][]string{}
	var names, list, own []string
	for _, m := range all {
		if byName[last(m)] == nil {
			names = append(names, last(m))
		}
		byName[last(m)] = append(byName[last(m)], m)
	}
	for _, n := range nearest.Sort(last(name), names) {
		for _, m := range byName[n] {
			if Infrastructure(m) {
				own = append(own, m[1:])
			} else {
				list = append(list, m[1:])
			}
		}
	}
	list = append(list, own...)
	if more := len(list) - maxCandidates; more > 0 {
		return fmt.Sprintf("%s, and %d more", strings.Join(list[:maxCandidates], ", "), more)
	}
	return strings.Join(list, ", ")
}
