package openapi_test

import (
	"testing"
)

// schemaOf returns the schema of the one field of a request, in the form that the
// request has.
func schemaOf(t *testing.T, field, more string) any {
	t.Helper()
	doc := describe(t, file(t, `message_type { name: "M" field { name: "f" number: 1 json_name: "f" `+field+` } }
		service { name: "S" method { name: "A" input_type: ".x.M" output_type: ".google.protobuf.Empty" options { [google.api.http] { post: "/v1/a" body: "*" } } } }`+more))
	schemas := at(t, doc, "components", "schemas").(map[string]any)
	name := "x.M"
	if _, differs := schemas[name+"-input"]; differs {
		name += "-input"
	}
	return at(t, schemas, name, "properties", "f")
}

func TestSchemasAreProtojsonsForms(t *testing.T) {
	one := func(kind string) string { return "label: LABEL_OPTIONAL type: TYPE_" + kind }
	message := func(name string) string { return one("MESSAGE") + ` type_name: ".` + name + `"` }
	for name, test := range map[string]struct{ field, want string }{
		"int32":     {one("INT32"), `{"format":"int32","type":"integer"}`},
		"uint32":    {one("FIXED32"), `{"format":"uint32","maximum":4294967295,"minimum":0,"type":"integer"}`},
		"int64":     {one("SINT64"), `{"format":"int64","pattern":"^-?[0-9]{1,19}$","type":"string"}`},
		"uint64":    {one("UINT64"), `{"format":"uint64","pattern":"^[0-9]{1,20}$","type":"string"}`},
		"double":    {one("DOUBLE"), `{"anyOf":[{"format":"double","type":"number"},{"enum":["NaN","Infinity","-Infinity"],"type":"string"}]}`},
		"bytes":     {one("BYTES"), `{"contentEncoding":"base64","type":"string"}`},
		"list":      {"label: LABEL_REPEATED type: TYPE_BOOL", `{"items":{"type":"boolean"},"type":"array"}`},
		"timestamp": {message("google.protobuf.Timestamp"), `{"format":"date-time","pattern":"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$","type":"string"}`},
		"duration":  {message("google.protobuf.Duration"), `{"description":"Seconds with up to nine decimals and an ` + "`s`: `1.5s`" + `.","examples":["1.5s"],"pattern":"^-?[0-9]{1,12}(\\.[0-9]{1,9})?s$","type":"string"}`},
		"struct":    {message("google.protobuf.Struct"), `{"additionalProperties":true,"type":"object"}`},
		"value":     {message("google.protobuf.Value"), `{"description":"Any JSON value."}`},
		"list of":   {message("google.protobuf.ListValue"), `{"items":{},"type":"array"}`},
		"empty":     {message("google.protobuf.Empty"), `{"maxProperties":0,"type":"object"}`},
		"any":       {message("google.protobuf.Any"), `{"$ref":"#/components/schemas/google.protobuf.Any"}`},
		"status":    {message("google.rpc.Status"), `{"$ref":"#/components/schemas/google.rpc.Status"}`},
		"wrapper":   {message("google.protobuf.Int64Value"), `{"format":"int64","pattern":"^-?[0-9]{1,19}$","type":"string"}`},
		"null":      {one("ENUM") + ` type_name: ".google.protobuf.NullValue"`, `{"type":"null"}`},
		"itself":    {message("x.M"), `{"$ref":"#/components/schemas/x.M"}`},
		"enum":      {one("ENUM") + ` type_name: ".x.E"`, `{"anyOf":[{"$ref":"#/components/schemas/x.E"},{"description":"A value that is newer than this document.","format":"int32","type":"integer"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := jsonOf(t, schemaOf(t, test.field, `enum_type { name: "E" value { name: "A" number: 0 } }`)); got != test.want {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
}

func TestConstraintsBecomeTheKeywordsThatMeanTheSame(t *testing.T) {
	field := func(kind, options string) string {
		return "label: LABEL_OPTIONAL type: TYPE_" + kind + " options { " + options + " }"
	}
	rules := func(kind, rules string) string { return field(kind, "[buf.validate.field] { "+rules+" }") }
	for name, test := range map[string]struct{ field, want string }{
		"lengths":      {rules("STRING", "string { min_len: 1 max_len: 3 }"), `{"maxLength":3,"minLength":1,"type":"string"}`},
		"bytes":        {rules("STRING", "string { max_bytes: 3 }"), `{"type":"string","x-max-bytes":3}`},
		"pattern":      {rules("STRING", `string { pattern: "^a.[.]$" }`), `{"pattern":"^a[^\\n][.]$","type":"string"}`},
		"RE2 alone":    {rules("STRING", `string { pattern: "(?i)a" }`), `{"type":"string","x-pattern-re2":"(?i)a"}`},
		"or empty":     {rules("STRING", `ignore: IGNORE_IF_ZERO_VALUE string { pattern: "^a+$" }`), `{"pattern":"^$|^a+$","type":"string"}`},
		"never":        {rules("STRING", `ignore: IGNORE_ALWAYS string { min_len: 9 }`), `{"type":"string"}`},
		"one of":       {rules("STRING", `string { in: "a" in: "b" }`), `{"enum":["a","b"],"type":"string"}`},
		"uuid":         {rules("STRING", `string { uuid: true }`), `{"format":"uuid","type":"string"}`},
		"prefix":       {rules("STRING", `string { prefix: "a.b-" }`), `{"pattern":"^a\\.b-","type":"string"}`},
		"required":     {rules("STRING", `required: true`), `{"minLength":1,"type":"string"}`},
		"at least":     {rules("INT32", "int32 { gte: 1 lt: 5 }"), `{"exclusiveMaximum":5,"format":"int32","minimum":1,"type":"integer"}`},
		"outside":      {rules("INT32", "int32 { gt: 5 lt: 1 }"), `{"format":"int32","type":"integer"}`},
		"64 bits":      {rules("INT64", "int64 { gte: 0 lte: 9 }"), `{"format":"int64","pattern":"^[0-9]{1,20}$","type":"string","x-maximum":"9","x-minimum":"0"}`},
		"items":        {"label: LABEL_REPEATED type: TYPE_STRING options { [buf.validate.field] { repeated { min_items: 1 max_items: 2 unique: true items { string { max_len: 4 } } } } }", `{"items":{"maxLength":4,"type":"string"},"maxItems":2,"minItems":1,"type":"array","uniqueItems":true}`},
		"wrong kind":   {rules("BOOL", "map { min_pairs: 1 }"), `{"type":"boolean"}`},
		"output only":  {field("STRING", "deprecated: true [google.api.field_behavior]: OUTPUT_ONLY"), `{"deprecated":true,"readOnly":true,"type":"string","x-field-behavior":["OUTPUT_ONLY"]}`},
		"input only":   {field("STRING", "[google.api.field_behavior]: INPUT_ONLY"), `{"type":"string","writeOnly":true,"x-field-behavior":["INPUT_ONLY"]}`},
		"a reference":  {field("STRING", `[google.api.resource_reference] { type: "x/T" }`), `{"type":"string","x-resource-reference":{"type":"x/T"}}`},
		"field format": {field("STRING", `[google.api.field_info] { format: UUID4 }`), `{"format":"uuid","type":"string"}`},
		"CEL":          {rules("STRING", `cel { id: "i" message: "m" expression: "e" }`), `{"type":"string","x-cel":[{"expression":"e","id":"i","message":"m"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := jsonOf(t, schemaOf(t, test.field, "")); got != test.want {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
}

func TestMapsAndOneofsAreObjectsAndChoices(t *testing.T) {
	doc := describe(t, file(t, `
		message_type { name: "M"
			field { name: "counts" number: 1 json_name: "counts" label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".x.M.CountsEntry"
				options { [buf.validate.field] { map { max_pairs: 4 keys { string { max_len: 2 } } } } } }
			field { name: "a" number: 2 json_name: "a" label: LABEL_OPTIONAL type: TYPE_STRING oneof_index: 0 }
			field { name: "b" number: 3 json_name: "b" label: LABEL_OPTIONAL type: TYPE_STRING oneof_index: 0 }
			oneof_decl { name: "choice" options { [buf.validate.oneof] { required: true } } }
			nested_type { name: "CountsEntry" options { map_entry: true }
				field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING } field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_INT64 } } }
		service { name: "S" method { name: "A" input_type: ".x.M" output_type: ".x.M" options { [google.api.http] { post: "/v1/a" body: "*" } } } }`))
	schemas := at(t, doc, "components", "schemas")
	one := `[{"description":"At most one of the oneof ` + "`choice`" + `.","oneOf":[{"required":["a"]},{"required":["b"]}`
	for name, test := range map[string]struct {
		got  any
		want string
	}{
		"a map sent":     {at(t, schemas, "x.M-input", "properties", "counts"), `{"additionalProperties":{"format":"int64","pattern":"^-?[0-9]{1,19}$","type":"string"},"maxProperties":4,"propertyNames":{"maxLength":2},"type":"object"}`},
		"a map answered": {at(t, schemas, "x.M", "properties", "counts"), `{"additionalProperties":{"format":"int64","pattern":"^-?[0-9]{1,19}$","type":"string"},"type":"object"}`},
		"one is checked": {at(t, schemas, "x.M-input", "allOf"), one + `]}]`},
		"or none":        {at(t, schemas, "x.M", "allOf"), one + `,{"not":{"anyOf":[{"required":["a"]},{"required":["b"]}]}}]}]`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := jsonOf(t, test.got); got != test.want {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
}

func TestCommentsBecomeSummariesDescriptionsAndErrors(t *testing.T) {
	doc := describe(t, file(t, `
		message_type { name: "M" }
		service { name: "S" method { name: "A" input_type: ".x.M" output_type: ".x.M" options { [google.api.http] { get: "/v1/a" } } } }
		source_code_info {
			location { path: 12 span: 0 span: 0 span: 1 leading_comments: " The file.\n" }
			location { path: 6 path: 0 span: 1 span: 0 span: 1 leading_comments: " Serves.\n" }
			location { path: 6 path: 0 path: 2 path: 0 span: 2 span: 0 span: 1
				leading_comments: " Does it, e.g. well. And more.\n\n Errors: NOT_FOUND NO_THING, when\n there is none; ABORTED.\n" } }`))
	operation := at(t, doc, "paths", "/v1/a", "get")
	for name, test := range map[string]struct {
		got  any
		want string
	}{
		"summary":     {at(t, operation, "summary"), `"Does it, e.g. well"`},
		"description": {at(t, operation, "description"), `"Does it, e.g. well. And more.\n\nErrors: NOT_FOUND NO_THING, when\nthere is none; ABORTED."`},
		"reason":      {at(t, operation, "responses", "404", "description"), `"NOT_FOUND NO_THING."`},
		"code":        {at(t, operation, "responses", "409", "description"), `"ABORTED."`},
		"tags":        {at(t, doc, "tags"), `[{"description":"Serves.\n\nThe file.","name":"x.S"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := jsonOf(t, test.got); got != test.want {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
}
