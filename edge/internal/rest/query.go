package rest

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/errs"
)

// fillURL puts what the path captured and the query parameters into the message,
// and says all that is wrong with them.
func (r *route) fillURL(m protoreflect.Message, raw []string, query string) violations {
	bad := r.fillPath(m, raw)
	bad.join(r.fillQuery(m, query))
	return bad
}

// fillPath puts what the path captured into the message.
func (r *route) fillPath(m protoreflect.Message, raw []string) violations {
	var bad violations
	for i := range r.template.variables {
		v, path := &r.template.variables[i], r.variables[i]
		text, err := v.captured(r.template, raw)
		var value protoreflect.Value
		if err == nil {
			holder := path.message(m)
			if value, err = parseText(holder, path.leaf(), text); err == nil {
				if holder.Has(path.leaf()) && !holder.Get(path.leaf()).Equal(value) {
					bad.add(path.String(), "BOUND_TWICE", "is "+quoted(text)+" in the path and another in the body; send it in the path alone")
				}
				holder.Set(path.leaf(), value)
				continue
			}
		}
		bad.add(path.String(), "INVALID_VALUE", err.Error())
	}
	return bad
}

// fillQuery puts the query parameters into the message.
func (r *route) fillQuery(m protoreflect.Message, raw string) violations {
	if raw == "" {
		return violations{}
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		var bad violations
		what := fmt.Sprintf("does not parse: %v; percent-encode reserved characters", err)
		bad.note("the query "+what, errs.Field("", "INVALID_VALUE", "the query "+what))
		return bad
	}
	q := &queryFiller{route: r, m: m, seen: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if q.bad.full() {
			break // more would cost time to explain, and help nobody
		}
		q.parameter(name, query[name])
	}
	return q.bad
}

type queryFiller struct {
	route *route
	m     protoreflect.Message
	seen  map[string]string // by proto path, or that of a oneof: the parameter
	bad   violations
}

func (q *queryFiller) parameter(name string, texts []string) {
	if name == "" {
		what := "has a value without a name"
		q.bad.note("the query "+what, errs.Field("", "UNKNOWN_FIELD", "the query "+what))
		return
	}
	path, err := q.find(name)
	if err != nil {
		q.bad.add(name, "UNKNOWN_FIELD", err.Error())
		return
	}
	field := path.String()
	if why := q.refused(path); why != "" {
		q.bad.add(field, "NOT_A_PARAMETER", why)
		return
	}
	if before, twice := q.seen[field]; twice {
		q.bad.add(field, "BOUND_TWICE", fmt.Sprintf("is given as %q and as %q; give it once", before, name))
		return
	}
	q.seen[field] = name
	if !path.leaf().IsList() && len(texts) > 1 {
		q.bad.add(field, "BOUND_TWICE", fmt.Sprintf("is given %d times, it takes one value", len(texts)))
		return
	}
	if q.otherOfOneof(path) {
		return
	}
	q.set(path, texts)
}

func (q *queryFiller) set(path fieldPath, texts []string) {
	holder, fd := path.message(q.m), path.leaf()
	for i, text := range texts {
		value, err := parseText(holder, fd, text)
		if err != nil {
			field := path.String()
			if fd.IsList() {
				field = fmt.Sprintf("%s[%d]", field, i)
			}
			q.bad.add(field, "INVALID_VALUE", err.Error())
			continue
		}
		if fd.IsList() {
			holder.Mutable(fd).List().Append(value)
			continue
		}
		if fd.Message() != nil && fd.Message().FullName() == maskName {
			q.route.protoNames(value.Message())
		}
		holder.Set(fd, value)
	}
}

// find resolves the name of a parameter.
func (q *queryFiller) find(name string) (fieldPath, error) {
	if strings.Count(name, ".") >= maxNested {
		return nil, fmt.Errorf("is nested more than %d deep", maxNested)
	}
	path, err := resolve(q.m.Descriptor(), name)
	if err == nil {
		return path, nil
	}
	known := q.route.parameters()
	if len(known) == 0 {
		return nil, fmt.Errorf("is no parameter; %s takes none", q.route)
	}
	return nil, fmt.Errorf("is no parameter of %s%s", q.route, suggest(name, known))
}

// refused says why a field cannot be a parameter, or "".
func (q *queryFiller) refused(path fieldPath) string {
	r := q.route
	if r.hasBody && r.bodyField == nil {
		return "belongs into the body: with the body \"*\" a rule has no parameters"
	}
	for i := range path {
		if prefix := path[:i+1].String(); r.bound[prefix] {
			if r.bodyField != nil && string(r.bodyField.Name()) == prefix {
				return fmt.Sprintf("belongs into the body, which is %q", prefix)
			}
			return "is bound by the path already"
		}
	}
	for _, fd := range path[:len(path)-1] {
		if isOneValue(fd.Message()) {
			return fmt.Sprintf("cannot be a parameter: %s is one value, without fields", fd.JSONName())
		}
	}
	if !inURL(path.leaf()) {
		return "cannot be a parameter: it is a message or a map; give the fields within it, such as " + path.json() + ".x"
	}
	return ""
}

// otherOfOneof reports a second member of one oneof.
func (q *queryFiller) otherOfOneof(path fieldPath) bool {
	for i, fd := range path {
		one := fd.ContainingOneof()
		if one == nil || one.IsSynthetic() {
			continue
		}
		key := path[:i].String() + ":" + string(one.Name())
		if member, set := q.seen[key]; set && member != string(fd.Name()) {
			q.bad.add(path.String(), "BOUND_TWICE", fmt.Sprintf("and %q exclude each other, both are of %s", member, one.Name()))
			return true
		}
		if holder := path[:i+1].get(q.m); holder != nil {
			if set := holder.WhichOneof(one); set != nil && set != fd {
				q.bad.add(path.String(), "BOUND_TWICE", fmt.Sprintf("and %q exclude each other, both are of %s", set.Name(), one.Name()))
				return true
			}
		}
		q.seen[key] = string(fd.Name())
	}
	return false
}

// maxParameters bounds what is suggested: messages can be recursive.
const (
	maxParameters = 256
	maxParamDepth = 3
)

// parameters returns the names that the query may have, as in JSON.
func (r *route) parameters() []string {
	if r.hasBody && r.bodyField == nil {
		return nil
	}
	var names []string
	var add func(md protoreflect.MessageDescriptor, path fieldPath)
	add = func(md protoreflect.MessageDescriptor, path fieldPath) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			p := append(slices.Clone(path), fd)
			switch {
			case len(names) >= maxParameters || r.bound[p.String()]:
			case inURL(fd):
				names = append(names, p.json())
			case !fd.IsMap() && !fd.IsList() && len(p) < maxParamDepth:
				add(fd.Message(), p)
			}
		}
	}
	add(r.in.Descriptor(), nil)
	return names
}

// protoNames turns the paths of a mask from a URL into the names of the .proto:
// those of the resource in the body, else of the answer.
func (r *route) protoNames(mask protoreflect.Message) {
	var of []protoreflect.MessageDescriptor
	if fd := r.resourceField(); fd != nil {
		of = append(of, fd.Message())
	}
	of = append(of, r.out.Descriptor())
	paths := mask.Mutable(mask.Descriptor().Fields().ByNumber(1)).List()
	for i := range paths.Len() {
		paths.Set(i, protoreflect.ValueOfString(protoPath(of, paths.Get(i).String())))
	}
}

// protoPath turns one path, of one of the messages if it can be found there.
func protoPath(of []protoreflect.MessageDescriptor, path string) string {
	names := strings.Split(path, ".")
	for _, md := range of {
		if fieldNamed(md, names[0]) == nil {
			continue
		}
		for i, name := range names {
			fd := fieldNamed(md, name)
			if fd == nil {
				break
			}
			names[i] = string(fd.Name())
			if md = fd.Message(); md == nil || fd.IsMap() {
				break
			}
		}
		return strings.Join(names, ".")
	}
	return snake(path)
}

// snake is how ProtoJSON turns the path of a mask into that of the .proto.
func snake(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
	return b.String()
}
