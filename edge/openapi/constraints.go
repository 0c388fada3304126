package openapi

import (
	"regexp"
	"slices"
	"strconv"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// constraints returns what buf.validate demands of a field, in the keywords of
// JSON Schema that mean the same. What has none (a length in bytes, CEL) is
// there as an x- keyword, for people.
func constraints(field protoreflect.FieldDescriptor, rules *validate.FieldRules) *object {
	if rules == nil || rules.GetIgnore() == validate.Ignore_IGNORE_ALWAYS {
		return &object{}
	}
	said := typeRules(field, rules)
	if rules.GetIgnore() == validate.Ignore_IGNORE_IF_ZERO_VALUE {
		said = orZero(field, said)
	} else if rules.GetRequired() {
		said.merge(notZero(field))
	}
	return said.add("x-cel", celRules(rules.GetCel()))
}

// typeRules returns the constraints of the rules for a field's type; none when
// the rules are for another type.
func typeRules(field protoreflect.FieldDescriptor, rules *validate.FieldRules) *object {
	message := rules.ProtoReflect()
	which := message.WhichOneof(message.Descriptor().Oneofs().ByName("type"))
	if which == nil {
		return &object{}
	}
	of := message.Get(which).Message()
	switch string(which.Name()) {
	case "string":
		return stringRules(of)
	case "bytes", "any", "duration", "timestamp", "field_mask", "bool", "enum":
		return plainRules(of)
	case "repeated":
		if field.IsList() {
			return listRules(field, rules.GetRepeated())
		}
	case "map":
		if field.IsMap() {
			return mapRules(field, rules.GetMap())
		}
	case "int64", "uint64", "sint64", "fixed64", "sfixed64":
		return bigRules(of)
	default:
		return numberRules(of)
	}
	return &object{}
}

// has calls then with a rule when it is given.
func has(of protoreflect.Message, rule protoreflect.Name, then func(protoreflect.Value)) {
	if fd := of.Descriptor().Fields().ByName(rule); fd != nil && of.Has(fd) {
		then(of.Get(fd))
	}
}

func listRules(field protoreflect.FieldDescriptor, rules *validate.RepeatedRules) *object {
	said := &object{}
	if rules.MinItems != nil {
		said.set("minItems", rules.GetMinItems())
	}
	if rules.MaxItems != nil {
		said.set("maxItems", rules.GetMaxItems())
	}
	said.add("uniqueItems", rules.GetUnique())
	if items := constraintsOfItem(field, rules.GetItems()); len(items.members) > 0 {
		said.set("items", items)
	}
	return said
}

// constraintsOfItem are those of one item: rules for lists do not fit there.
func constraintsOfItem(field protoreflect.FieldDescriptor, rules *validate.FieldRules) *object {
	if rules == nil || rules.GetRepeated() != nil || rules.GetMap() != nil || rules.GetIgnore() != validate.Ignore_IGNORE_UNSPECIFIED {
		return &object{}
	}
	return typeRules(field, rules)
}

func mapRules(field protoreflect.FieldDescriptor, rules *validate.MapRules) *object {
	said := &object{}
	if rules.MinPairs != nil {
		said.set("minProperties", rules.GetMinPairs())
	}
	if rules.MaxPairs != nil {
		said.set("maxProperties", rules.GetMaxPairs())
	}
	if field.MapKey().Kind() == protoreflect.StringKind {
		said.add("propertyNames", constraintsOfItem(field.MapKey(), rules.GetKeys()))
	}
	return said.add("additionalProperties", constraintsOfItem(field.MapValue(), rules.GetValues()))
}

// plainRules are those of which only a length in bytes and whether the value is
// there can be told in words.
func plainRules(of protoreflect.Message) *object {
	said := &object{}
	for _, rule := range []struct{ name, key string }{
		{"min_len", "x-min-bytes"}, {"max_len", "x-max-bytes"},
	} {
		has(of, protoreflect.Name(rule.name), func(v protoreflect.Value) { said.set(rule.key, v.Interface()) })
	}
	if of.Descriptor().Name() == "BoolRules" {
		has(of, "const", func(v protoreflect.Value) { said.set("const", v.Bool()) })
	}
	return said
}

// numberRules are those of integers of 32 bits and of floating point numbers.
func numberRules(of protoreflect.Message) *object {
	said := &object{}
	if outside(of) {
		return said
	}
	for _, rule := range []struct{ name, key string }{
		{"gte", "minimum"}, {"gt", "exclusiveMinimum"}, {"lte", "maximum"}, {"lt", "exclusiveMaximum"}, {"const", "const"},
	} {
		has(of, protoreflect.Name(rule.name), func(v protoreflect.Value) {
			if finite(v) {
				said.set(rule.key, v.Interface())
			}
		})
	}
	has(of, "in", func(v protoreflect.Value) { said.add("enum", list(v.List(), protoreflect.Value.Interface)) })
	has(of, "not_in", func(v protoreflect.Value) {
		said.add("not", newObject("enum", list(v.List(), protoreflect.Value.Interface)))
	})
	return said
}

// bigRules are those of integers that JSON has as strings: of the bounds only a
// sign is a pattern.
func bigRules(of protoreflect.Message) *object {
	said := &object{}
	if outside(of) {
		return said
	}
	for _, rule := range []struct{ name, key, zero string }{
		{"gte", "x-minimum", "^[0-9]{1,20}$"}, {"gt", "x-exclusive-minimum", "^0*[1-9][0-9]{0,19}$"},
		{"lte", "x-maximum", ""}, {"lt", "x-exclusive-maximum", ""},
	} {
		has(of, protoreflect.Name(rule.name), func(v protoreflect.Value) {
			if v.String() == "0" {
				said.add("pattern", rule.zero)
			}
			said.set(rule.key, v.String())
		})
	}
	has(of, "const", func(v protoreflect.Value) { said.set("const", v.String()) })
	has(of, "in", func(v protoreflect.Value) {
		said.add("enum", list(v.List(), func(v protoreflect.Value) any { return v.String() }))
	})
	return said
}

// outside says whether the bounds are turned round: buf.validate then means the
// values outside of them.
func outside(of protoreflect.Message) bool {
	var low, high *float64
	bound := func(to **float64) func(protoreflect.Value) {
		return func(v protoreflect.Value) {
			if f, err := strconv.ParseFloat(v.String(), 64); err == nil {
				*to = &f
			}
		}
	}
	has(of, "gt", bound(&low))
	has(of, "gte", bound(&low))
	has(of, "lt", bound(&high))
	has(of, "lte", bound(&high))
	return low != nil && high != nil && *high < *low
}

// finite says whether JSON has a number for a value.
func finite(v protoreflect.Value) bool {
	return !slices.Contains([]string{"NaN", "+Inf", "-Inf"}, v.String())
}

func list(values protoreflect.List, as func(protoreflect.Value) any) []any {
	var all []any
	for i := range values.Len() {
		if finite(values.Get(i)) {
			all = append(all, as(values.Get(i)))
		}
	}
	return all
}

// notZero demands that a field without presence is not empty.
func notZero(field protoreflect.FieldDescriptor) *object {
	switch {
	case field.IsList():
		return newObject("minItems", 1)
	case field.IsMap():
		return newObject("minProperties", 1)
	case !field.HasPresence() && (field.Kind() == protoreflect.StringKind || field.Kind() == protoreflect.BytesKind):
		return newObject("minLength", 1)
	}
	return &object{}
}

// orZero lets the empty value in besides what the rules let in.
func orZero(field protoreflect.FieldDescriptor, said *object) *object {
	if len(said.members) == 0 || field.IsList() || field.IsMap() || field.Kind() != protoreflect.StringKind {
		return &object{}
	}
	pattern, ok := said.get("pattern").(string)
	for _, m := range said.members {
		ok = ok && slices.Contains([]string{"pattern", "maxLength", "format", "x-max-bytes"}, m.key)
	}
	if !ok {
		return newObject("anyOf", []any{newObject("const", "").set("const", ""), said})
	}
	if matched, err := regexp.MatchString(pattern, ""); err == nil && !matched {
		said.set("pattern", "^$|"+pattern)
	}
	return said
}

func celRules(rules []*validate.Rule) []any {
	var all []any
	for _, r := range rules {
		all = append(all, newObject("id", r.GetId(), "message", r.GetMessage(), "expression", r.GetExpression()))
	}
	return all
}
