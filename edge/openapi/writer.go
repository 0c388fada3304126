package openapi

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// writer writes one document.
type writer struct {
	options  options
	services []protoreflect.ServiceDescriptor
	schemas  *schemas
	paths    *paths
	failures map[int]bool      // HTTP statuses of errors that operations refer to
	taken    map[string]string // operations by HTTP method and path
}

// items describes all paths, in the order of services and methods.
func (w *writer) items() (*object, error) {
	items := &object{}
	var faults []error
	for _, service := range w.services {
		w.learnResources(service.ParentFile())
	}
	for _, service := range w.services {
		for i := range service.Methods().Len() {
			found, err := bindings(service.Methods().Get(i))
			if err != nil {
				faults = append(faults, err)
			}
			for _, b := range found {
				if err := w.item(items, b); err != nil {
					faults = append(faults, err)
				}
			}
		}
	}
	return items, errors.Join(faults...)
}

// item adds a binding to the item of its path.
func (w *writer) item(items *object, b binding) error {
	path, wildcards := w.paths.path(b.template, b.method.Input())
	if w.options.elsewhere != nil && w.options.elsewhere(path) {
		return fmt.Errorf("describe %s: %s %s is where something else is served; give it another path", b.id, b.verb, path)
	}
	if by, taken := w.taken[b.verb+" "+path]; taken {
		return fmt.Errorf("describe %s: %s %s is %s already; give one of them another path", b.id, b.verb, path, by)
	}
	w.taken[b.verb+" "+path] = b.id
	item, known := items.get(path).(*object)
	if !known {
		item = &object{}
		items.set(path, item)
	}
	item.set(strings.ToLower(b.verb), w.operation(b, wildcards))
	return nil
}

// learnResources remembers the patterns of the resources of a file.
func (w *writer) learnResources(file protoreflect.FileDescriptor) {
	if file == nil {
		return
	}
	var learn func(protoreflect.MessageDescriptors)
	learn = func(all protoreflect.MessageDescriptors) {
		for i := range all.Len() {
			if r := resource(all.Get(i)); r.GetType() != "" {
				w.paths.resources[r.GetType()] = r.GetPattern()
			}
			learn(all.Get(i).Messages())
		}
	}
	learn(file.Messages())
}

func (w *writer) info(info Info) *object {
	if info.Title == "" {
		var names []string
		for _, s := range w.services {
			names = append(names, string(s.FullName()))
		}
		info.Title = strings.Join(names, ", ")
	}
	if info.Title == "" {
		info.Title = "API"
	}
	if info.Version == "" {
		info.Version = "v1"
	}
	return newObject("title", info.Title, "summary", info.Summary, "description", info.Description,
		"contact", newObject("name", info.Contact, "url", info.ContactURL),
		"license", newObject("name", info.License, "url", info.LicenseURL),
		"version", info.Version)
}

func (w *writer) servers() []any {
	var all []any
	for _, s := range w.options.servers {
		all = append(all, newObject("url", s.url, "description", s.description))
	}
	return all
}

// security says that each scheme is one way, and that none is demanded: who may
// call what is not in the descriptors.
func (w *writer) security() []any {
	var all []any
	for _, s := range w.options.security {
		all = append(all, (&object{}).set(s.name, []string{}))
	}
	if len(all) > 0 {
		all = append(all, &object{})
	}
	return all
}

// tags has one tag for each service: its comment, then that of its file.
func (w *writer) tags() []any {
	var all []any
	for _, s := range w.services {
		text := comment(s)
		if file := s.ParentFile(); file != nil {
			text = strings.TrimSpace(text + "\n\n" + fileComment(file))
		}
		o, _ := s.Options().(*descriptorpb.ServiceOptions)
		all = append(all, newObject("name", string(s.FullName()), "description", text, "x-deprecated", o.GetDeprecated()))
	}
	return all
}
