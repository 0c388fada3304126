// Package config loads a struct from one YAML file, the environment and flags,
// and knows afterwards where each value came from.
//
// Precedence, weakest first: default tags, what the struct held (code), the
// file, the environment, flags. Unknown keys are faults that name the nearest
// known one; all faults are reported at once.
//
// A field is described by its tags:
//
//	yaml:"key"        its key; ",inline" on an embedded struct lifts its fields; "-" leaves it out
//	default:"10s"     the value if nothing else gives one and the field is zero
//	doc:"..."         one sentence for the reference
//	enum:"a,b"        the values allowed (of each item, in a list)
//	min:"1" max:"9"   the range allowed, for numbers, durations and sizes
//	secret:"true"     shown as *** wherever it would be printed
//	reload:"true"     may change while the service runs, with everything below it
//
// Types: string, bool, integers, floats, time.Duration ("10s"), Size ("4MiB"),
// anything with UnmarshalText, pointers to these (nil is "not set"), structs,
// lists, and maps with string keys.
package config

import (
	"fmt"
	"reflect"
	"sync"
)

// Options says where to read from. The zero Options read the environment only.
type Options struct {
	// File is the YAML file. Empty: none. It has to exist, and may hold 1 MiB.
	File string
	// Prefix begins the name of every environment variable. Empty: "KEELSON_".
	Prefix string
	// Environ holds the environment as name=value; nil is os.Environ().
	Environ []string
	// Reserved names variables that begin with Prefix and are not settings, for
	// example "KEELSON_CONFIG".
	Reserved []string
	// Set holds the flags --set key=value in their order; a later one wins.
	Set []string
}

func (o Options) prefix() string {
	if o.Prefix == "" {
		return "KEELSON_"
	}
	return o.Prefix
}

// Validator is implemented by structs that check more than tags can say. The
// error may join several; one with a method ConfigPath() string, such as Fault,
// is about the field at that path below the struct.
type Validator interface{ Validate() error }

// Loaded is what was loaded and where each value came from. It is safe for
// concurrent use.
type Loaded struct {
	opts   Options
	schema *node
	code   reflect.Value // what the struct held before loading

	reloading sync.Mutex // one Reload at a time

	mu      sync.Mutex
	value   reflect.Value
	sources map[string]Source
	read    fingerprint // of the file when it was last read
}

// Load fills the struct that into points to. On an error, into is unchanged; if
// the configuration is at fault, the error is Faults.
func Load(into any, opts Options) (*Loaded, error) {
	v, schema, err := open(into)
	if err != nil {
		return nil, err
	}
	ld := &Loaded{opts: opts, schema: schema, code: clone(schema, v)}
	if ld.value, ld.sources, err = ld.layers(); err != nil {
		return nil, err
	}
	v.Set(clone(schema, ld.value))
	return ld, nil
}

// ApplyDefaults fills the zero fields of the struct that into points to from
// their default tags, for those who make a configuration in code only.
func ApplyDefaults(into any) error {
	v, schema, err := open(into)
	if err != nil {
		return err
	}
	l := newLoader(schema, v)
	l.initial(schema, v, "")
	return l.err()
}

// Check validates the struct that into points to as Load does: by tags, and by
// the Validate methods. The error is Faults.
func Check(into any) error {
	v, schema, err := open(into)
	if err != nil {
		return err
	}
	l := newLoader(schema, v)
	l.check(schema, v)
	return l.err()
}

func open(into any) (reflect.Value, *node, error) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return v, nil, fmt.Errorf("load configuration into %T: want a pointer to a struct", into)
	}
	schema, err := schemaOf(v.Elem().Type())
	if err != nil {
		return v, nil, fmt.Errorf("load configuration into %T: %w", into, err)
	}
	return v.Elem(), schema, nil
}

// read makes a fresh value from all layers.
func (ld *Loaded) layers() (reflect.Value, map[string]Source, error) {
	v := clone(ld.schema, ld.code)
	l := newLoader(ld.schema, v)
	l.initial(ld.schema, v, "")
	data := l.file(ld.opts.File)
	l.environment(ld.opts)
	l.flags(ld.opts.Set)
	l.check(ld.schema, v)
	ld.mu.Lock()
	ld.read = data
	ld.mu.Unlock()
	return v, l.sources, l.err()
}

// Source says where the value at path came from, for example of
// "grpc.tls.cert_file" or "methods[0].timeout".
func (ld *Loaded) Source(path string) Source {
	ld.mu.Lock()
	defer ld.mu.Unlock()
	return sourceOf(ld.sources, path)
}
