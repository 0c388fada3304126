package rest

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// pointer turns the field path of a violation ("user.labels[\"a/b\"]",
// "users[2].given_name") into a JSON pointer into the request's body, as a URI
// fragment (RFC 6901). It is "" for what is not in the body.
func (x *exchange) pointer(field string) string {
	if x.route == nil || !x.route.hasBody || field == "" {
		return ""
	}
	md := x.route.in.Descriptor()
	key := false // the next step is a map's key
	steps := fieldSteps(field)
	if len(steps) == 0 {
		return ""
	}
	if body := x.route.bodyField; body != nil {
		if steps[0] != string(body.Name()) {
			return ""
		}
		steps = steps[1:]
		md, key = next(body), body.IsMap()
	} else if x.route.bound[steps[0]] || fieldNamed(md, steps[0]) == nil {
		return ""
	}
	var b strings.Builder
	b.WriteByte('#')
	for _, step := range steps {
		name := step
		if !key && md != nil {
			if fd := fieldNamed(md, step); fd != nil {
				name, md, key = fd.JSONName(), next(fd), fd.IsMap()
			}
		} else {
			key = false
		}
		b.WriteByte('/')
		name = strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
		b.WriteString(strings.ReplaceAll(urnEncode(name), "%7E", "~"))
	}
	return b.String()
}

// next returns the message in which the steps after a field are looked up. A list's
// index is no field and leaves it as it is.
func next(fd protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if fd.IsMap() {
		return fd.MapValue().Message()
	}
	return fd.Message()
}

// fieldSteps cuts a field path into names, indices and keys.
func fieldSteps(field string) []string {
	var steps []string
	for len(field) > 0 {
		switch field[0] {
		case '.':
			field = field[1:]
		case '[':
			end := strings.IndexByte(field, ']')
			if end < 0 {
				return append(steps, field[1:])
			}
			steps = append(steps, strings.Trim(field[1:end], `"'`))
			field = field[end+1:]
		default:
			end := strings.IndexAny(field, ".[")
			if end < 0 {
				end = len(field)
			}
			steps = append(steps, field[:end])
			field = field[end:]
		}
	}
	return steps
}
