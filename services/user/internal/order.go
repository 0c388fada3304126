package internal

import (
	"slices"

	"go.einride.tech/aip/ordering"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// orderFields are the paths that order_by takes.
func orderFields() map[string]repository.Field {
	return map[string]repository.Field{
		"name":         repository.FieldID,
		"email":        repository.FieldEmailKey,
		"display_name": repository.FieldDisplayName,
		"create_time":  repository.FieldCreateTime,
		"update_time":  repository.FieldUpdateTime,
	}
}

const orderHint = "must be a comma-separated list of name, email, display_name, create_time and update_time, each at most once, with ` desc` for descending"

// parseOrder translates order_by (AIP-132). parts is how many values a position
// in that order has.
func parseOrder(orderBy string) (order []repository.Order, parts int, err error) {
	var by ordering.OrderBy
	if err := by.UnmarshalString(orderBy); err != nil {
		return nil, 0, invalid("order_by", orderHint)
	}
	fields := orderFields()
	byID := false
	for _, f := range by.Fields {
		field, ok := fields[f.Path]
		if !ok || slices.ContainsFunc(order, func(o repository.Order) bool { return o.Field == field }) {
			return nil, 0, invalid("order_by", "%q: "+orderHint, f.Path)
		}
		order = append(order, repository.Order{Field: field, Desc: f.Desc})
		if !byID {
			parts++ // behind the name, which is unique, nothing sorts
		}
		byID = byID || field == repository.FieldID
	}
	if !byID {
		parts++
	}
	return order, parts, nil
}
