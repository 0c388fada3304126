package config

import (
	"reflect"
	"strings"
)

// Reload reads the file, the environment and the flags again. If all is well it
// gives the paths that changed and a new struct, of the type that was given to
// Load, which belongs to the caller; the old one is not touched. Only fields
// tagged reload:"true" may have changed. On any fault nothing changes at all,
// and the error is Faults.
func (ld *Loaded) Reload() (changed []string, next any, err error) {
	value, sources, err := ld.layers()
	if err != nil {
		return nil, nil, err
	}
	ld.mu.Lock()
	defer ld.mu.Unlock()
	var refused Faults
	ld.differences(ld.schema, ld.value, value, "", func(n *node, path string) {
		if n.reload {
			changed = append(changed, path)
			return
		}
		src, gone := sourceOf(sources, path), ""
		if src.Kind == Default {
			src, gone = sourceOf(ld.sources, path), " (it was removed)"
		}
		refused = append(refused, Fault{
			Source:  src,
			Path:    path,
			Problem: "this changed" + gone + " and cannot change while the service runs",
			Valid:   "it needs a restart; set it back, or restart the instance",
		})
	})
	if len(refused) > 0 {
		return nil, nil, refused.sorted()
	}
	ld.value, ld.sources = value, sources
	fresh := reflect.New(value.Type())
	fresh.Elem().Set(clone(ld.schema, value))
	return changed, fresh.Interface(), nil
}

// differences calls f for every field that differs; a list or a map is one.
func (ld *Loaded) differences(n *node, a, b reflect.Value, path string, f func(*node, string)) {
	switch {
	case n.shape == record && a.Kind() == reflect.Struct:
		for _, field := range n.fields {
			ld.differences(field, a.FieldByIndex(field.index), b.FieldByIndex(field.index), join(path, field.key), f)
		}
	case n.shape == record && !a.IsNil() && !b.IsNil():
		ld.differences(n, a.Elem(), b.Elem(), path, f)
	case !reflect.DeepEqual(a.Interface(), b.Interface()):
		f(n, strings.TrimPrefix(path, "."))
	}
}
