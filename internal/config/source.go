package config

import (
	"strconv"
	"strings"
)

// Kind says which layer a value came from.
type Kind int

// The layers, weakest first.
const (
	Default Kind = iota // a default tag, or nobody set it
	Code                // the struct held it before loading
	File                // the YAML file
	Env                 // an environment variable
	Flag                // a --set flag
)

// Source is where a value came from.
type Source struct {
	Kind Kind
	// Name is the file's path, the variable's or the flag's name.
	Name string
	// Line and Column count from 1 and are zero where there is no file.
	Line, Column int
}

// String gives "default", "code", "file:line", "env NAME" or "flag --set".
func (s Source) String() string {
	switch s.Kind {
	case Code:
		return "code"
	case File:
		if s.Line == 0 {
			return s.Name
		}
		return s.Name + ":" + strconv.Itoa(s.Line)
	case Env:
		return "env " + s.Name
	case Flag:
		return "flag " + s.Name
	}
	return "default"
}

// position is String with the column.
func (s Source) position() string {
	if s.Kind == File && s.Line > 0 && s.Column > 0 {
		return s.String() + ":" + strconv.Itoa(s.Column)
	}
	return s.String()
}

// sourceOf finds the source of path, or else of what contains it.
func sourceOf(sources map[string]Source, path string) Source {
	for {
		if s, ok := sources[path]; ok {
			return s
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return Source{}
		}
		path = path[:i]
	}
}
