package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// shape is how a node is written in YAML.
type shape int

const (
	scalar shape = iota
	record       // a struct
	list
	table // a map
)

// node describes one type at one place of the configuration.
type node struct {
	key     string       // its key; empty for the root and for items
	typ     reflect.Type // without the pointer
	shape   shape
	index   []int   // where the field is in the struct that holds it
	fields  []*node // of a record, in the order they are declared
	inlined [][]int // of a record: the embedded structs
	elem    *node   // of a list or table

	def            *string // default tag
	doc            string
	enum           []string
	min, max       string
	secret, reload bool
}

var (
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType    = reflect.TypeFor[time.Duration]()
	secretType      = reflect.TypeFor[Secret]()
	keyPattern      = regexp.MustCompile(`^[A-Za-z0-9]+([_-]?[A-Za-z0-9]+)*$`)
)

func schemaOf(t reflect.Type) (*node, error) {
	return buildNode(t, nil)
}

// buildNode describes t. above holds the structs around it.
func buildNode(t reflect.Type, above []reflect.Type) (*node, error) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	n := &node{typ: t, secret: t == secretType}
	switch {
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		return n, nil
	case t.Kind() == reflect.Struct:
		n.shape = record
		return n, n.addFields(t, nil, above)
	case t.Kind() == reflect.Slice:
		n.shape = list
	case t.Kind() == reflect.Map:
		n.shape = table
		if t.Key().Kind() != reflect.String {
			return nil, fmt.Errorf("type %s: a map needs string keys", t)
		}
	default:
		return n, scalarType(t)
	}
	elem, err := buildNode(t.Elem(), above)
	n.elem = elem
	return n, err
}

func scalarType(t reflect.Type) error {
	switch k := t.Kind(); {
	case k == reflect.String, k == reflect.Bool, k >= reflect.Int && k <= reflect.Uint64, k == reflect.Float32, k == reflect.Float64:
		return nil
	}
	return fmt.Errorf("type %s is no configuration type; give it UnmarshalText, or the tag yaml:\"-\"", t)
}

// addFields adds the fields of struct t, which is at prefix below n's struct.
func (n *node) addFields(t reflect.Type, prefix []int, above []reflect.Type) error {
	for _, a := range above {
		if a == t {
			return fmt.Errorf("type %s contains itself", t)
		}
	}
	above = append(above[:len(above):len(above)], t)
	var errs []error
	for i := range t.NumField() {
		if err := n.addField(t.Field(i), append(prefix[:len(prefix):len(prefix)], i), above); err != nil {
			errs = append(errs, fmt.Errorf("field %s.%s: %w", t, t.Field(i).Name, err))
		}
	}
	return errors.Join(errs...)
}

func (n *node) addField(f reflect.StructField, index []int, above []reflect.Type) error {
	key, rest, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	inline := strings.Contains(rest, "inline") || f.Anonymous && key == ""
	switch {
	case key == "-", !f.IsExported() && !(inline && f.Type.Kind() == reflect.Struct):
		return nil
	case inline && f.Type.Kind() != reflect.Struct:
		return errors.New("only a struct can be inlined")
	case inline:
		n.inlined = append(n.inlined, index)
		return n.addFields(f.Type, index, above)
	}
	if key == "" {
		key = snake(f.Name)
	}
	if !keyPattern.MatchString(key) {
		return fmt.Errorf("key %q: use letters, digits and single _ or -", key)
	}
	if other := n.child(key, sameEnv); other != nil {
		return fmt.Errorf("key %q: there is a key %q already", key, other.key)
	}
	child, err := buildNode(f.Type, above)
	if err != nil {
		return err
	}
	child.key, child.index = key, index
	n.fields = append(n.fields, child)
	return child.readTags(f)
}

func (n *node) readTags(f reflect.StructField) error {
	if def, ok := f.Tag.Lookup("default"); ok {
		n.def = &def
	}
	n.doc = f.Tag.Get("doc")
	n.min, n.max = f.Tag.Get("min"), f.Tag.Get("max")
	if enum := f.Tag.Get("enum"); enum != "" {
		n.enum = strings.Split(enum, ",")
	}
	n.inherit(f.Tag.Get("secret") == "true", f.Tag.Get("reload") == "true")
	item := n
	for item.elem != nil {
		item.elem.enum, item.elem.min, item.elem.max = n.enum, n.min, n.max
		item = item.elem
	}
	return n.checkTags(item)
}

// checkTags finds tags that do not fit the type.
func (n *node) checkTags(item *node) error {
	for tag, text := range map[string]string{"min": n.min, "max": n.max} {
		if text == "" {
			continue
		}
		v := reflect.New(item.typ).Elem()
		if err := setScalar(v, text, true); item.shape != scalar || err != nil || !ordered(v) {
			return fmt.Errorf("tag %s:%q does not fit the type %s", tag, text, item.typ)
		}
	}
	if n.def == nil {
		return nil
	}
	l := newLoader(n, reflect.New(n.typ).Elem())
	l.assign(n, l.root, n.key, *n.def, Source{})
	if err := l.err(); err != nil {
		return fmt.Errorf("tag default:%q: %w", *n.def, err)
	}
	return nil
}

// inherit marks n and all below it.
func (n *node) inherit(secret, reload bool) {
	n.secret, n.reload = n.secret || secret, n.reload || reload
	for _, f := range n.fields {
		f.inherit(secret, reload)
	}
	if n.elem != nil {
		n.elem.inherit(secret, reload)
	}
}

// child finds the field whose key is the same as name.
func (n *node) child(name string, same func(key, name string) bool) *node {
	for _, f := range n.fields {
		if same(f.key, name) {
			return f
		}
	}
	return nil
}

func sameKey(key, name string) bool { return key == name }

func sameEnv(key, name string) bool { return envName(key) == envName(name) }

// envName is the part of a variable's name that stands for key.
func envName(key string) string {
	return strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}

// snake turns a field's name into its key: HTTPPort is http_port.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		upper := r >= 'A' && r <= 'Z'
		if upper && i > 0 {
			before := name[i-1]
			endsWord := i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z'
			if before >= 'a' && before <= 'z' || before >= '0' && before <= '9' || endsWord {
				b.WriteByte('_')
			}
		}
		b.WriteString(strings.ToLower(string(r)))
	}
	return b.String()
}

// what says in words what is valid for n.
func (n *node) what() string {
	if len(n.enum) > 0 && n.shape == scalar {
		return "one of " + strings.Join(n.enum, ", ")
	}
	switch n.shape {
	case record:
		return "keys of " + joinKeys(n.fields)
	case list:
		return "a list, each item " + n.elem.what()
	case table:
		return "a mapping, each value " + n.elem.what()
	}
	return scalarWords(n.typ)
}

func scalarWords(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 10s or 1m30s"
	case t == reflect.TypeFor[Size]():
		return "a size in bytes such as 512, 64KiB or 4MiB"
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		return "a " + t.Name()
	}
	switch k := t.Kind(); {
	case k == reflect.Bool:
		return "true or false"
	case k >= reflect.Int && k <= reflect.Int64:
		return "a whole number"
	case k >= reflect.Uint && k <= reflect.Uint64:
		return "a whole number, not negative"
	case k == reflect.Float32, k == reflect.Float64:
		return "a number"
	}
	return "text"
}

func joinKeys(fields []*node) string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return strings.Join(keys, ", ")
}
