package openapi

import (
	"bytes"
	"encoding/json"
	"slices"
)

// object is a JSON object whose members keep the order in which they were set,
// so that a person finds fields as the .proto has them and the same services
// give the same bytes.
type object struct{ members []member }

type member struct {
	key   string
	value any
}

// newObject makes an object of pairs of a key and a value. Pairs whose value
// says nothing (nil, "", false, an empty list or object) are left out.
func newObject(pairs ...any) *object {
	o := &object{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if key, ok := pairs[i].(string); ok {
			o.add(key, pairs[i+1])
		}
	}
	return o
}

// add sets key unless value says nothing.
func (o *object) add(key string, value any) *object {
	switch v := value.(type) {
	case nil:
		return o
	case string:
		if v == "" {
			return o
		}
	case bool:
		if !v {
			return o
		}
	case []string:
		if len(v) == 0 {
			return o
		}
	case []any:
		if len(v) == 0 {
			return o
		}
	case *object:
		if v == nil || len(v.members) == 0 {
			return o
		}
	}
	return o.set(key, value)
}

// set gives key a value, also one that says nothing. A key that is there keeps
// its place.
func (o *object) set(key string, value any) *object {
	for i := range o.members {
		if o.members[i].key == key {
			o.members[i].value = value
			return o
		}
	}
	o.members = append(o.members, member{key, value})
	return o
}

// get returns the value of key, nil without one.
func (o *object) get(key string) any {
	for _, m := range o.members {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// merge sets what other has.
func (o *object) merge(other *object) *object {
	for _, m := range other.members {
		o.set(m.key, m.value)
	}
	return o
}

// constrain sets what other has. Schemas of what is inside (the items of a list,
// the members of a map) are put together and not replaced.
func (o *object) constrain(other *object) *object {
	for _, m := range other.members {
		more, isObject := m.value.(*object)
		inside, has := o.get(m.key).(*object)
		if isObject && has && (m.key == "items" || m.key == "additionalProperties" || m.key == "propertyNames") {
			inside.merge(more)
			continue
		}
		o.set(m.key, m.value)
	}
	return o
}

// sort orders the members by their keys.
func (o *object) sort() *object {
	slices.SortStableFunc(o.members, func(a, b member) int { return bytes.Compare([]byte(a.key), []byte(b.key)) })
	return o
}

// MarshalJSON writes the members in their order.
func (o *object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, m := range o.members {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(m.key); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := enc.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// ref points at a component.
func ref(kind, name string) *object {
	return newObject("$ref", "#/components/"+kind+"/"+name)
}
