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
//
// If something changed, each of accept is asked in turn with the new struct, and
// with what tells where its values come from, before it takes effect; the first
// error is returned, and nothing has changed.
func (ld *Loaded) Reload(accept ...func(next any, source func(path string) Source) error) (changed []string, next any, err error) {
	ld.reloading.Lock()
	defer ld.reloading.Unlock()
	value, sources, err := ld.layers()
	if err != nil {
		return nil, nil, err
	}
	changed, err = ld.compare(value, sources)
	if err != nil {
		return nil, nil, err
	}
	fresh := reflect.New(value.Type())
	fresh.Elem().Set(clone(ld.schema, value))
	if len(changed) > 0 {
		source := func(path string) Source { return sourceOf(sources, path) }
		for _, ask := range accept {
			if err := ask(fresh.Interface(), source); err != nil {
				return nil, nil, err
			}
		}
	}
	ld.mu.Lock()
	defer ld.mu.Unlock()
	ld.value, ld.sources = value, sources
	return changed, fresh.Interface(), nil
}

// compare lists what differs from what is in effect; what may not is a fault.
func (ld *Loaded) compare(value reflect.Value, sources map[string]Source) (changed []string, err error) {
	ld.mu.Lock()
	defer ld.mu.Unlock()
	var refused Faults
	differences(ld.schema, ld.value, value, "", func(n *node, path string) {
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
		return nil, refused.sorted()
	}
	return changed, nil
}

// differences calls f for every field that differs; a list or a map is one.
func differences(n *node, a, b reflect.Value, path string, f func(*node, string)) {
	switch {
	case n.shape == record && a.Kind() == reflect.Struct:
		for _, field := range n.fields {
			differences(field, a.FieldByIndex(field.index), b.FieldByIndex(field.index), join(path, field.key), f)
		}
	case n.shape == record && !a.IsNil() && !b.IsNil():
		differences(n, a.Elem(), b.Elem(), path, f)
	case !reflect.DeepEqual(a.Interface(), b.Interface()):
		f(n, strings.TrimPrefix(path, "."))
	}
}
