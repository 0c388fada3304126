package rest

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// diagnosis walks JSON and a message in parallel, in one pass.
type diagnosis struct {
	d   *decoder
	doc document
	dec *json.Decoder
	bad violations
}

// add adds a violation at a byte of the body, see json.Decoder.InputOffset.
func (g *diagnosis) add(at int64, field, reason, what string) {
	g.bad.placed = g.bad.placed || g.bad.count == 0
	g.bad.add(field, reason, "("+place(g.doc.position(int(at)))+") "+what)
}

// next returns the byte at which the next value begins.
func (g *diagnosis) next() int64 {
	rest := g.doc.raw[g.dec.InputOffset():]
	return g.dec.InputOffset() + int64(len(rest)-len(bytes.TrimLeft(rest, " \t\r\n:,")))
}

// null tells whether the next value is null.
func (g *diagnosis) null() bool { return bytes.HasPrefix(g.doc.raw[g.next():], []byte("null")) }

// message reads one value that should be an object with a message's fields. It
// returns false when there is no use in reading on.
func (g *diagnosis) message(m protoreflect.Message, path string, depth int) bool {
	if depth > maxNested {
		g.bad.add(path, "TOO_DEEP", "is nested more than "+strconv.Itoa(maxNested)+" deep")
		return false
	}
	if !g.opens('{', path, "an object with the fields of "+string(m.Descriptor().FullName())) {
		return false
	}
	sets := map[protoreflect.FieldNumber]bool{}
	for g.dec.More() {
		if g.bad.full() || !g.member(m, path, depth, sets) {
			return false
		}
	}
	return g.closes()
}

// opens reads the beginning of an object or a list.
func (g *diagnosis) opens(bracket json.Delim, path, want string) bool {
	t, err := g.dec.Token()
	if err != nil {
		return false
	}
	if t != bracket {
		g.add(g.dec.InputOffset(), path, "INVALID_VALUE", "must be "+want)
		return false
	}
	return true
}

// closes reads the end of an object or a list.
func (g *diagnosis) closes() bool {
	_, err := g.dec.Token()
	return err == nil
}

// member reads a name and its value; sets are the fields before it, and whether each
// was given a value.
func (g *diagnosis) member(m protoreflect.Message, path string, depth int, sets map[protoreflect.FieldNumber]bool) bool {
	t, err := g.dec.Token()
	name, ok := t.(string)
	if err != nil || !ok {
		return false
	}
	at := g.dec.InputOffset()
	fd := fieldNamed(m.Descriptor(), name)
	if fd == nil {
		if !g.d.lenient && !strings.HasPrefix(name, "[") && !(name == "@type" && m.Descriptor().FullName() == anyName) {
			g.add(at, join(path, name), "UNKNOWN_FIELD", "is no field of "+string(m.Descriptor().FullName())+
				suggest(name, fieldNames(m.Descriptor())))
		}
		return g.skip()
	}
	field := join(path, string(fd.Name()))
	if _, twice := sets[fd.Number()]; twice {
		g.add(at, field, "BOUND_TWICE", "is given twice")
	}
	sets[fd.Number()] = !g.null() || takesNull(fd)
	if other := otherMember(fd, sets); other != nil {
		g.add(at, field, "BOUND_TWICE", "and "+strconv.Quote(other.JSONName())+" exclude each other, both are of "+string(fd.ContainingOneof().Name()))
	}
	switch md := fd.Message(); {
	case g.null() && !takesNull(fd):
		return g.skip()
	case fd.IsMap():
		return g.entries(m, fd, field, depth)
	case md == nil || isOneValue(md):
		return g.leaf(m, fd, field, at)
	case fd.IsList():
		return g.list(m, fd, field, depth)
	}
	return g.message(m.NewField(fd).Message(), field, depth+1)
}

// takesNull tells whether null is a value of a field, and not its absence.
func takesNull(fd protoreflect.FieldDescriptor) bool {
	if fd.Cardinality() == protoreflect.Repeated {
		return false
	}
	return fd.Enum() != nil && fd.Enum().FullName() == nullName || fd.Message() != nil && fd.Message().FullName() == valueName
}

// otherMember returns a member of a field's oneof that has a value too, or nil.
func otherMember(fd protoreflect.FieldDescriptor, sets map[protoreflect.FieldNumber]bool) protoreflect.FieldDescriptor {
	one := fd.ContainingOneof()
	if one == nil || !sets[fd.Number()] {
		return nil
	}
	for i := range one.Fields().Len() {
		if other := one.Fields().Get(i); other.Number() != fd.Number() && sets[other.Number()] {
			return other
		}
	}
	return nil
}

// list reads a list of messages.
func (g *diagnosis) list(m protoreflect.Message, fd protoreflect.FieldDescriptor, field string, depth int) bool {
	if !g.opens('[', field, "a list") {
		return false
	}
	for i := 0; g.dec.More(); i++ {
		if g.bad.full() || !g.message(newElement(m, fd).Message(), field+"["+strconv.Itoa(i)+"]", depth+1) {
			return false
		}
	}
	return g.closes()
}

// entries reads a map.
func (g *diagnosis) entries(m protoreflect.Message, fd protoreflect.FieldDescriptor, field string, depth int) bool {
	if !g.opens('{', field, "an object") {
		return false
	}
	given := map[string]bool{}
	for g.dec.More() {
		t, err := g.dec.Token()
		name, ok := t.(string)
		if err != nil || !ok || g.bad.full() {
			return false
		}
		at, entry := g.dec.InputOffset(), field+"["+strconv.Quote(name)+"]"
		if given[name] {
			g.add(at, entry, "BOUND_TWICE", "is given twice")
		}
		given[name] = true
		if !g.entry(m, fd, entry, name, depth) {
			return false
		}
	}
	return g.closes()
}

// entry reads the value of a map's name.
func (g *diagnosis) entry(m protoreflect.Message, fd protoreflect.FieldDescriptor, field, name string, depth int) bool {
	at, of := g.dec.InputOffset(), fd.MapValue()
	if _, err := parseScalar(fd.MapKey(), name); err != nil {
		g.add(at, field, "INVALID_VALUE", "has a name that "+err.Error())
		return g.skip()
	}
	if md := of.Message(); md != nil && !isOneValue(md) {
		return g.message(m.NewField(fd).Map().NewValue().Message(), field, depth+1)
	}
	var value json.RawMessage
	if g.dec.Decode(&value) != nil {
		return false
	}
	if !g.fits(m, fd, []byte("{"+strconv.Quote(name)+":"+string(value)+"}")) {
		g.add(at, field, "INVALID_VALUE", "is "+literally(value)+", it must be "+wants(of)+hint(of, value))
	}
	return true
}

// leaf tries one value by itself.
func (g *diagnosis) leaf(m protoreflect.Message, fd protoreflect.FieldDescriptor, field string, at int64) bool {
	var value json.RawMessage
	if g.dec.Decode(&value) != nil {
		return false
	}
	if g.fits(m, fd, value) {
		return true
	}
	var elements []json.RawMessage
	if fd.IsList() && json.Unmarshal(value, &elements) == nil {
		for i, e := range elements {
			if !g.bad.full() && !g.fits(m, fd, append(append([]byte("["), e...), ']')) {
				g.add(at, field+"["+strconv.Itoa(i)+"]", "INVALID_VALUE", "is "+literally(e)+", it must be "+wants(fd)+hint(fd, e))
			}
		}
		return true
	}
	want := wants(fd)
	if fd.IsList() {
		want = "a list, each " + want
	}
	g.add(at, field, "INVALID_VALUE", "is "+literally(value)+", it must be "+want+hint(fd, value))
	return true
}

func (g *diagnosis) fits(m protoreflect.Message, fd protoreflect.FieldDescriptor, value []byte) bool {
	one := append(append(append([]byte("{"), strconv.Quote(fd.JSONName())+":"...), value...), '}')
	return g.d.unmarshal(one, m.New()) == nil
}

// skip reads one value and drops it.
func (g *diagnosis) skip() bool {
	var value json.RawMessage
	return g.dec.Decode(&value) == nil
}
