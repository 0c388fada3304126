package core

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// Columns are the columns of a user, in the order both stores read them.
const Columns = "id, uid, version, email, email_key, display_name, given_name, family_name, labels, state, create_time, update_time, delete_time, purge_time"

// Dialect is what differs between the databases.
type Dialect struct {
	// Arg returns the n-th placeholder, counting from 1.
	Arg func(n int) string
	// Time returns a time as the database stores it.
	Time func(time.Time) any
	// Label returns a condition on the label whose key is in the placeholder
	// key; test makes the condition on the label's value.
	Label func(key string, test func(value string) string) string
	// Contains returns the condition that a text contains another.
	Contains func(text, part string) string
}

// builder collects the parameters of one statement.
type builder struct {
	d    Dialect
	args []any
}

func (b *builder) arg(v any) string {
	b.args = append(b.args, v)
	return b.d.Arg(len(b.args))
}

// List returns the statement that reads one page, and one user more to tell
// whether there is another page. The order of q must be complete (FullOrder).
func List(d Dialect, q repository.Query) (string, []any, error) {
	b := &builder{d: d}
	where, err := b.where(q)
	if err != nil {
		return "", nil, err
	}
	var s strings.Builder
	s.WriteString("SELECT " + Columns + " FROM users")
	for i, w := range where {
		s.WriteString(map[bool]string{true: " WHERE ", false: " AND "}[i == 0] + w)
	}
	s.WriteString(" ORDER BY ")
	for i, o := range q.Order {
		if i > 0 {
			s.WriteString(", ")
		}
		s.WriteString(string(o.Field))
		if o.Desc {
			s.WriteString(" DESC")
		}
	}
	s.WriteString(" LIMIT " + b.arg(q.Limit+1))
	return s.String(), b.args, nil
}

func (b *builder) where(q repository.Query) ([]string, error) {
	var where []string
	if !q.ShowDeleted {
		where = append(where, "delete_time IS NULL")
	}
	if q.After != nil {
		after, err := b.after(q.Order, q.After)
		if err != nil {
			return nil, err
		}
		where = append(where, after)
	}
	if q.Filter != nil {
		if err := q.Filter.Validate(); err != nil {
			return nil, err
		}
		where = append(where, b.filter(q.Filter))
	}
	return where, nil
}

// FullOrder returns the order with the ID as its last part.
func FullOrder(order []repository.Order) ([]repository.Order, error) {
	var full []repository.Order
	var desc bool
	for _, o := range order {
		switch o.Field {
		case repository.FieldID, repository.FieldEmailKey, repository.FieldDisplayName, repository.FieldCreateTime, repository.FieldUpdateTime:
		default:
			return nil, &repository.InvalidError{Field: "Query.Order", Problem: fmt.Sprintf("users cannot be ordered by %q", o.Field)}
		}
		if slices.ContainsFunc(full, func(p repository.Order) bool { return p.Field == o.Field }) {
			return nil, &repository.InvalidError{Field: "Query.Order", Problem: fmt.Sprintf("%s occurs twice", o.Field)}
		}
		full = append(full, o)
		desc = o.Desc
		if o.Field == repository.FieldID {
			return full, nil // unique: nothing behind it matters
		}
	}
	return append(full, repository.Order{Field: repository.FieldID, Desc: desc}), nil
}

// Key returns the position of u in a complete order.
func Key(order []repository.Order, u *repository.User) []string {
	key := make([]string, len(order))
	for i, o := range order {
		switch o.Field {
		case repository.FieldID:
			key[i] = u.ID
		case repository.FieldEmailKey:
			key[i] = u.EmailKey
		case repository.FieldDisplayName:
			key[i] = u.DisplayName
		case repository.FieldCreateTime:
			key[i] = strconv.FormatInt(u.CreateTime.UnixMicro(), 10)
		case repository.FieldUpdateTime:
			key[i] = strconv.FormatInt(u.UpdateTime.UnixMicro(), 10)
		}
	}
	return key
}

// after returns the condition for what comes behind a position. When all
// parts have one direction it is one row comparison, which both databases
// answer with one range of an index. Otherwise it is spelled out, led by a
// range of the first part.
func (b *builder) after(order []repository.Order, key []string) (string, error) {
	if len(key) != len(order) {
		return "", &repository.InvalidError{Field: "Query.After", Problem: "does not fit the order: use the Next of a page with the same order"}
	}
	cols, args := make([]string, len(key)), make([]string, len(key))
	same := true
	for i, o := range order {
		v, err := b.keyValue(o.Field, key[i])
		if err != nil {
			return "", err
		}
		cols[i], args[i] = string(o.Field), b.arg(v)
		same = same && o.Desc == order[0].Desc
	}
	if same {
		return "(" + strings.Join(cols, ", ") + ") " + beyond(order[0]) + " (" + strings.Join(args, ", ") + ")", nil
	}
	var alternatives []string
	for i, o := range order {
		var all []string
		for j := range i {
			all = append(all, cols[j]+" = "+args[j])
		}
		all = append(all, cols[i]+" "+beyond(o)+" "+args[i])
		alternatives = append(alternatives, "("+strings.Join(all, " AND ")+")")
	}
	return "(" + cols[0] + " " + beyond(order[0]) + "= " + args[0] + " AND (" + strings.Join(alternatives, " OR ") + "))", nil
}

func beyond(o repository.Order) string {
	if o.Desc {
		return "<"
	}
	return ">"
}

func (b *builder) keyValue(f repository.Field, s string) (any, error) {
	if f != repository.FieldCreateTime && f != repository.FieldUpdateTime {
		return s, repository.CheckText("Query.After", s)
	}
	us, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil, &repository.InvalidError{Field: "Query.After", Problem: "does not fit the order: use the Next of a page with the same order"}
	}
	return b.d.Time(time.UnixMicro(us).UTC()), nil
}

// filter returns a valid filter as a condition that is never NULL.
func (b *builder) filter(f repository.Filter) string {
	switch f := f.(type) {
	case repository.And:
		return b.join(f, " AND ", "TRUE")
	case repository.Or:
		return b.join(f, " OR ", "FALSE")
	case repository.Not:
		return "NOT (" + b.filter(f.Filter) + ")"
	case repository.Compare:
		return b.compare(f)
	default:
		return "FALSE" // Validate let it through: a filter type of the caller's own
	}
}

func (b *builder) join(fs []repository.Filter, op, empty string) string {
	if len(fs) == 0 {
		return empty
	}
	parts := make([]string, len(fs))
	for i, f := range fs {
		parts[i] = b.filter(f)
	}
	return "(" + strings.Join(parts, op) + ")"
}

func (b *builder) compare(c repository.Compare) string {
	col := string(c.Field)
	switch c.Field {
	case repository.FieldState:
		if c.Op == repository.OpHas {
			return "TRUE"
		}
		state, _ := c.Value.(repository.State)
		return col + " " + sqlOp(c.Op) + " " + b.arg(int64(state))
	case repository.FieldCreateTime, repository.FieldUpdateTime, repository.FieldDeleteTime, repository.FieldPurgeTime:
		if c.Op == repository.OpHas {
			return col + " IS NOT NULL"
		}
		at, _ := c.Value.(time.Time)
		return "(" + col + " IS NOT NULL AND " + col + " " + sqlOp(c.Op) + " " + b.arg(b.d.Time(at.Truncate(time.Microsecond).UTC())) + ")"
	case repository.FieldLabel:
		return b.d.Label(b.arg(c.Label), func(value string) string {
			if c.Op == repository.OpHas {
				return "TRUE"
			}
			return b.text(value, c)
		})
	default:
		return b.text(col, c)
	}
}

func (b *builder) text(col string, c repository.Compare) string {
	if c.Op == repository.OpHas {
		return col + " <> ''"
	}
	v, _ := c.Value.(string)
	switch c.Op {
	case repository.OpContains:
		return b.d.Contains(col, b.arg(v))
	case repository.OpPrefix:
		from := col + " >= " + b.arg(v)
		if end, ok := prefixEnd(v); ok {
			return "(" + from + " AND " + col + " < " + b.arg(end) + ")"
		}
		return from
	default:
		return col + " " + sqlOp(c.Op) + " " + b.arg(v)
	}
}

func sqlOp(op repository.Op) string {
	if op == repository.OpNotEqual {
		return "<>"
	}
	return string(op)
}

// prefixEnd returns the least text greater than all that begin with p, or
// false when there is none. It is valid UTF-8 when p is.
func prefixEnd(p string) (string, bool) {
	for p != "" {
		r, size := utf8.DecodeLastRuneInString(p)
		p = p[:len(p)-size]
		switch r {
		case utf8.MaxRune:
			continue
		case 0xD7FF:
			return p + "\uE000", true // the surrogates in between are no text
		}
		return p + string(r+1), true
	}
	return "", false
}
