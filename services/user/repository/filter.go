package repository

import (
	"fmt"
	"strings"
	"time"
)

// Field is a property of a user that a filter may compare and an order may
// sort by.
type Field string

// The fields of filters and orders. A query may be ordered by FieldID,
// FieldEmailKey, FieldDisplayName, FieldCreateTime and FieldUpdateTime; these
// have an index behind them. A filter may compare all.
const (
	// FieldID compares User.ID with a string.
	FieldID Field = "id"
	// FieldUID compares User.UID with a string.
	FieldUID Field = "uid"
	// FieldEmailKey compares User.EmailKey with a string: fold it first.
	FieldEmailKey Field = "email_key"
	// FieldDisplayName compares User.DisplayName with a string, bytewise.
	FieldDisplayName Field = "display_name"
	// FieldGivenName compares User.GivenName with a string, bytewise.
	FieldGivenName Field = "given_name"
	// FieldFamilyName compares User.FamilyName with a string, bytewise.
	FieldFamilyName Field = "family_name"
	// FieldLabel compares the label Compare.Label with a string, bytewise. A
	// user without the label satisfies no comparison, not even OpNotEqual.
	FieldLabel Field = "labels"
	// FieldState compares User.State with a State, for OpEqual and OpNotEqual.
	FieldState Field = "state"
	// FieldCreateTime compares User.CreateTime with a time.Time.
	FieldCreateTime Field = "create_time"
	// FieldUpdateTime compares User.UpdateTime with a time.Time.
	FieldUpdateTime Field = "update_time"
	// FieldDeleteTime compares User.DeleteTime with a time.Time. A time that
	// is not set satisfies no comparison.
	FieldDeleteTime Field = "delete_time"
	// FieldPurgeTime compares User.PurgeTime with a time.Time. A time that is
	// not set satisfies no comparison.
	FieldPurgeTime Field = "purge_time"
)

// Op is a comparison.
type Op string

// The comparisons. Text compares bytewise, which for UTF-8 is the order of
// code points; times compare in microseconds.
const (
	// OpEqual holds when both are the same.
	OpEqual Op = "="
	// OpNotEqual holds when the field is set and differs.
	OpNotEqual Op = "!="
	// OpLess holds when the field is less.
	OpLess Op = "<"
	// OpLessEqual holds when the field is less or the same.
	OpLessEqual Op = "<="
	// OpGreater holds when the field is greater.
	OpGreater Op = ">"
	// OpGreaterEqual holds when the field is greater or the same.
	OpGreaterEqual Op = ">="
	// OpPrefix holds when a text field begins with the value.
	OpPrefix Op = "prefix"
	// OpContains holds when a text field contains the value.
	OpContains Op = "contains"
	// OpHas holds when the field is set: a label that is there (even with an
	// empty value), a text that is not empty, a time that is not zero. It
	// takes no value.
	OpHas Op = "has"
)

// Filter is a condition on users: And, Or, Not or Compare. All stores and
// Match agree on what it means. A nil Filter matches all.
type Filter interface {
	// Match reports whether the user satisfies the filter. It is safe for
	// concurrent use and never fails: an invalid comparison matches nothing
	// (Validate tells).
	Match(u *User) bool
	// Validate returns an InvalidError for a comparison that no store answers.
	Validate() error
}

// And holds when all of its filters do; an empty one holds.
type And []Filter

// Match reports whether all filters match.
func (a And) Match(u *User) bool {
	for _, f := range a {
		if !f.Match(u) {
			return false
		}
	}
	return true
}

// Validate validates each filter.
func (a And) Validate() error { return validateAll(a) }

// Or holds when one of its filters does; an empty one does not.
type Or []Filter

// Match reports whether any filter matches.
func (o Or) Match(u *User) bool {
	for _, f := range o {
		if f.Match(u) {
			return true
		}
	}
	return false
}

// Validate validates each filter.
func (o Or) Validate() error { return validateAll(o) }

// Not holds when its filter does not. Comparisons have two values: a label
// that is not there makes the comparison false and its Not true.
type Not struct {
	// Filter is the condition to negate.
	Filter Filter
}

// Match reports whether the filter does not match.
func (n Not) Match(u *User) bool { return !n.Filter.Match(u) }

// Validate validates the negated filter.
func (n Not) Validate() error { return validateAll([]Filter{n.Filter}) }

// Compare compares one field with one value.
type Compare struct {
	// Field is what to compare.
	Field Field
	// Label is the key of the label when Field is FieldLabel.
	Label string
	// Op is how to compare.
	Op Op
	// Value is a string for text fields and labels, a State for FieldState
	// and a time.Time for times. It is ignored by OpHas.
	Value any
}

// Match compares the field of u.
func (c Compare) Match(u *User) bool {
	switch c.Field {
	case FieldState:
		v, ok := c.Value.(State)
		return c.Op == OpHas || ok && (c.Op == OpEqual && u.State == v || c.Op == OpNotEqual && u.State != v)
	case FieldCreateTime, FieldUpdateTime, FieldDeleteTime, FieldPurgeTime:
		return c.matchTime(fieldTime(c.Field, u))
	case FieldLabel:
		have, ok := u.Labels[c.Label]
		return ok && (c.Op == OpHas || c.matchText(have))
	default:
		have, ok := fieldText(c.Field, u)
		return ok && c.matchText(have)
	}
}

func (c Compare) matchText(have string) bool {
	if c.Op == OpHas {
		return have != ""
	}
	want, ok := c.Value.(string)
	if !ok {
		return false
	}
	switch c.Op {
	case OpPrefix:
		return strings.HasPrefix(have, want)
	case OpContains:
		return strings.Contains(have, want)
	default:
		return c.Op.holds(strings.Compare(have, want))
	}
}

func (c Compare) matchTime(have time.Time) bool {
	if have.IsZero() || c.Op == OpHas {
		return !have.IsZero()
	}
	want, ok := c.Value.(time.Time)
	return ok && c.Op.holds(have.Compare(want.Truncate(time.Microsecond)))
}

// holds reports whether the comparison holds for a result of a Compare
// function.
func (o Op) holds(cmp int) bool {
	switch o {
	case OpEqual:
		return cmp == 0
	case OpNotEqual:
		return cmp != 0
	case OpLess:
		return cmp < 0
	case OpLessEqual:
		return cmp <= 0
	case OpGreater:
		return cmp > 0
	case OpGreaterEqual:
		return cmp >= 0
	default:
		return false
	}
}

// Validate checks that the field has the comparison and the value its type.
func (c Compare) Validate() error {
	var ok, order bool
	switch c.Field {
	case FieldState:
		_, ok = c.Value.(State)
	case FieldCreateTime, FieldUpdateTime, FieldDeleteTime, FieldPurgeTime:
		_, ok = c.Value.(time.Time)
		order = true
	case FieldID, FieldUID, FieldEmailKey, FieldDisplayName, FieldGivenName, FieldFamilyName, FieldLabel:
		var text string
		text, ok = c.Value.(string)
		if err := CheckText("Query.Filter", text+c.Label); err != nil {
			return err
		}
		order = true
	default:
		return &InvalidError{Field: "Query.Filter", Problem: fmt.Sprintf("there is no field %q", c.Field)}
	}
	switch c.Op {
	case OpHas:
		return nil
	case OpEqual, OpNotEqual:
	case OpLess, OpLessEqual, OpGreater, OpGreaterEqual:
		ok = ok && order
	case OpPrefix, OpContains:
		_, text := c.Value.(string)
		ok = ok && text
	default:
		ok = false
	}
	if !ok {
		return &InvalidError{Field: "Query.Filter", Problem: fmt.Sprintf("%s cannot be compared by %q with a value of type %T", c.Field, c.Op, c.Value)}
	}
	return nil
}

func validateAll(fs []Filter) error {
	for _, f := range fs {
		if f == nil {
			return &InvalidError{Field: "Query.Filter", Problem: "holds a nil filter"}
		}
		if err := f.Validate(); err != nil {
			return err
		}
	}
	return nil
}

func fieldText(f Field, u *User) (string, bool) {
	switch f {
	case FieldID:
		return u.ID, true
	case FieldUID:
		return u.UID, true
	case FieldEmailKey:
		return u.EmailKey, true
	case FieldDisplayName:
		return u.DisplayName, true
	case FieldGivenName:
		return u.GivenName, true
	case FieldFamilyName:
		return u.FamilyName, true
	default:
		return "", false
	}
}

func fieldTime(f Field, u *User) time.Time {
	switch f {
	case FieldCreateTime:
		return u.CreateTime
	case FieldUpdateTime:
		return u.UpdateTime
	case FieldDeleteTime:
		return u.DeleteTime
	case FieldPurgeTime:
		return u.PurgeTime
	default:
		return time.Time{}
	}
}
