package internal

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.einride.tech/aip/filtering"
	expr "google.golang.org/genproto/googleapis/api/expr/v1alpha1"

	"golang.org/x/text/unicode/norm"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/repository"
)

// The bounds of a filter, so that none costs more than it looks like.
const (
	maxFilterBytes = 2048
	maxFilterDepth = 32
)

// filterParser translates filters (AIP-160) into the repository's.
type filterParser struct {
	schema *filtering.Declarations
	fields map[string]repository.Field
}

func newFilterParser() (*filterParser, error) {
	state := userv1.User_State(0).Type()
	stateType := filtering.TypeEnum(state)
	text, moment := filtering.TypeString, filtering.TypeTimestamp
	schema, err := filtering.NewDeclarations(
		filtering.DeclareStandardFunctions(),
		filtering.DeclareIdent("name", text), filtering.DeclareIdent("uid", text), filtering.DeclareIdent("email", text),
		filtering.DeclareIdent("display_name", text), filtering.DeclareIdent("given_name", text), filtering.DeclareIdent("family_name", text),
		filtering.DeclareIdent("create_time", moment), filtering.DeclareIdent("update_time", moment),
		filtering.DeclareIdent("delete_time", moment), filtering.DeclareIdent("purge_time", moment),
		filtering.DeclareIdent("labels", filtering.TypeMap(text, text)),
		filtering.DeclareEnumIdent("state", state),
		filtering.DeclareIdent("ACTIVE", stateType), filtering.DeclareIdent("SUSPENDED", stateType),
		filtering.DeclareFunction(filtering.FunctionEquals, filtering.NewFunctionOverload("=_state_string", filtering.TypeBool, stateType, text)),
		filtering.DeclareFunction(filtering.FunctionNotEquals, filtering.NewFunctionOverload("!=_state_string", filtering.TypeBool, stateType, text)),
	)
	if err != nil {
		return nil, fmt.Errorf("declare the fields of filters: %w", err)
	}
	return &filterParser{schema: schema, fields: map[string]repository.Field{
		"name": repository.FieldID, "uid": repository.FieldUID, "email": repository.FieldEmailKey,
		"display_name": repository.FieldDisplayName, "given_name": repository.FieldGivenName, "family_name": repository.FieldFamilyName,
		"create_time": repository.FieldCreateTime, "update_time": repository.FieldUpdateTime,
		"delete_time": repository.FieldDeleteTime, "purge_time": repository.FieldPurgeTime, "state": repository.FieldState,
	}}, nil
}

// parse returns the filter in text, nil for an empty one, or INVALID_ARGUMENT
// for field.
func (p *filterParser) parse(field, text string) (repository.Filter, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return nil, nil
	case len(text) > maxFilterBytes:
		return nil, invalid(field, "must be at most %d bytes; has %d", maxFilterBytes, len(text))
	case strings.Count(text, "(") > maxFilterDepth:
		return nil, invalid(field, "must have at most %d parentheses", maxFilterDepth)
	}
	parsed, err := filtering.ParseFilterString(text, p.schema)
	if err != nil {
		return nil, invalid(field, "%s; fields are name, uid, email, display_name, given_name, family_name, state, labels.{key}, create_time, update_time, delete_time and purge_time, and texts need quotes", explain(err, text))
	}
	f, err := p.translate(parsed.CheckedExpr.GetExpr())
	if err == nil {
		err = f.Validate()
	}
	if err != nil {
		return nil, invalid(field, "%s", err)
	}
	return f, nil
}

// explain says what the parser found, without the text of the filter: that may
// hold personal data, and errors are logged.
func explain(err error, filter string) string {
	var at interface {
		Position() filtering.Position
		Message() string
	}
	found := false
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		found = errors.As(inner, &at) || found // the innermost knows the place
	}
	switch {
	case found && at.Message() == "parse token":
		return "ends too early"
	case found:
		return fmt.Sprintf("does not parse at column %d: %s", at.Position().Column, at.Message())
	}
	text := err.Error()
	text = text[strings.LastIndex(text, " expr: ")+1:]
	text = strings.TrimPrefix(text, "expr: ")
	name, isName := strings.CutPrefix(text, "undeclared identifier ")
	switch {
	case isName: // perhaps a value whose quotes were forgotten: say where, not what
		return fmt.Sprintf("has a name at column %d that is no field and no state", strings.Index(filter, strings.Trim(name, "'"))+1)
	case strings.HasPrefix(text, "no matching overload"):
		return "an operator does not take what stands beside it"
	case text == "undeclared function 'FUZZY'":
		return "comparisons are joined by AND or OR"
	case strings.HasPrefix(text, "undeclared function"):
		return "has a function that is not known here"
	}
	return text
}

func (p *filterParser) translate(e *expr.Expr) (repository.Filter, error) {
	call := e.GetCallExpr()
	if call == nil {
		return nil, errors.New("must be made of comparisons, such as state = ACTIVE")
	}
	switch call.GetFunction() {
	case filtering.FunctionAnd, filtering.FunctionOr:
		return p.combine(call)
	case filtering.FunctionNot:
		f, err := p.translate(call.GetArgs()[0])
		if err != nil {
			return nil, err
		}
		return repository.Not{Filter: f}, nil
	}
	return p.compare(call)
}

func (p *filterParser) combine(call *expr.Expr_Call) (repository.Filter, error) {
	parts := make([]repository.Filter, 0, 2)
	for _, arg := range call.GetArgs() {
		f, err := p.translate(arg)
		if err != nil {
			return nil, err
		}
		parts = append(parts, f)
	}
	if call.GetFunction() == filtering.FunctionOr {
		return repository.Or(parts), nil
	}
	return repository.And(parts), nil
}

// compare translates `field op value` and `field:value`.
func (p *filterParser) compare(call *expr.Expr_Call) (repository.Filter, error) {
	if len(call.GetArgs()) != 2 {
		return nil, errors.New("must be made of comparisons, such as state = ACTIVE")
	}
	left, right := call.GetArgs()[0], call.GetArgs()[1]
	c, err := p.left(left)
	if err != nil {
		return nil, err
	}
	has := call.GetFunction() == filtering.FunctionHas
	if !has {
		c.Op = repository.Op(call.GetFunction())
	}
	switch {
	case left.GetIdentExpr().GetName() == "labels":
		if !has || !validLabelKey(right.GetConstExpr().GetStringValue()) {
			return nil, errors.New("labels are compared one by one: labels.key = \"value\", or labels:key for any value")
		}
		c.Op, c.Label = repository.OpHas, right.GetConstExpr().GetStringValue()
		return c, nil
	case c.Field == repository.FieldState:
		return p.compareState(c, right)
	case isTime(c.Field):
		return compareTime(c, right, has)
	}
	return compareText(c, right, has)
}

// left reads the field of a comparison.
func (p *filterParser) left(e *expr.Expr) (repository.Compare, error) {
	if sel := e.GetSelectExpr(); sel != nil {
		if sel.GetOperand().GetIdentExpr().GetName() != "labels" || !validLabelKey(sel.GetField()) {
			return repository.Compare{}, errors.New("a key of labels is 1 to 63 of a-z, 0-9, _ and -, beginning with a letter; one with a - needs quotes")
		}
		return repository.Compare{Field: repository.FieldLabel, Label: sel.GetField()}, nil
	}
	name := e.GetIdentExpr().GetName()
	if name == "labels" {
		return repository.Compare{Field: repository.FieldLabel}, nil
	}
	field, ok := p.fields[name]
	if !ok {
		return repository.Compare{}, errors.New("the left side of a comparison must be a field")
	}
	return repository.Compare{Field: field}, nil
}

func (p *filterParser) compareState(c repository.Compare, right *expr.Expr) (repository.Filter, error) {
	name := right.GetIdentExpr().GetName()
	if name == "" {
		name = right.GetConstExpr().GetStringValue()
	}
	switch strings.TrimPrefix(name, "STATE_") {
	case "ACTIVE":
		c.Value = repository.StateActive
	case "SUSPENDED":
		c.Value = repository.StateSuspended
	default:
		return nil, errors.New("there is no such state; states are ACTIVE and SUSPENDED")
	}
	return c, nil
}

func isTime(f repository.Field) bool {
	switch f {
	case repository.FieldCreateTime, repository.FieldUpdateTime, repository.FieldDeleteTime, repository.FieldPurgeTime:
		return true
	}
	return false
}

func compareTime(c repository.Compare, right *expr.Expr, has bool) (repository.Filter, error) {
	if has { // the schema lets only `*` through
		c.Op = repository.OpHas
		return c, nil
	}
	if call := right.GetCallExpr(); call.GetFunction() == filtering.FunctionTimestamp && len(call.GetArgs()) == 1 {
		right = call.GetArgs()[0]
	}
	t, err := time.Parse(time.RFC3339, right.GetConstExpr().GetStringValue())
	if err != nil {
		return nil, fmt.Errorf("%s is compared with a time as in RFC 3339, such as \"2026-01-31T12:00:00Z\"", c.Field)
	}
	c.Value = t.UTC()
	return c, nil
}

func compareText(c repository.Compare, right *expr.Expr, has bool) (repository.Filter, error) {
	value, ok := right.GetConstExpr().GetConstantKind().(*expr.Constant_StringValue)
	if !ok {
		return nil, errors.New("the right side of a comparison must be a text in quotes")
	}
	text := norm.NFC.String(value.StringValue)
	switch {
	case c.Field == repository.FieldEmailKey:
		text = foldEmail(text)
	case c.Field == repository.FieldID && !has:
		id, ok := strings.CutPrefix(text, collection)
		if !ok {
			return nil, fmt.Errorf("names begin with %s", collection)
		}
		text = id
	}
	if c.Value = text; has {
		c.Op = repository.OpContains
		if text == "*" {
			c.Op, c.Value = repository.OpHas, nil
		}
		return c, nil
	}
	return wildcard(c, text)
}

// wildcard translates a `*` at the end of a text, or at both ends (AIP-160).
func wildcard(c repository.Compare, text string) (repository.Filter, error) {
	equal := c.Op == repository.OpEqual
	if !strings.Contains(text, "*") || !equal && c.Op != repository.OpNotEqual {
		return c, nil
	}
	pattern := repository.Compare{Field: c.Field, Label: c.Label, Op: repository.OpPrefix}
	rest, atEnd := strings.CutSuffix(text, "*")
	if inner, atStart := strings.CutPrefix(rest, "*"); atStart {
		pattern.Op, rest = repository.OpContains, inner
	}
	if !atEnd || strings.Contains(rest, "*") {
		return nil, errors.New("a * stands at the end of a text, or at both ends")
	}
	if pattern.Value = rest; rest == "" {
		pattern.Op, pattern.Value = repository.OpHas, nil
	}
	if equal {
		return pattern, nil
	}
	not := repository.Filter(repository.Not{Filter: pattern})
	if c.Field == repository.FieldLabel { // a label that is not there equals and differs from nothing
		return repository.And{repository.Compare{Field: c.Field, Label: c.Label, Op: repository.OpHas}, not}, nil
	}
	return not, nil
}
