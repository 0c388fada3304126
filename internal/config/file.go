package config

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds how much of a file is read.
const maxFile = 1 << 20

// fingerprint stands for the content of a file, or for why there is none.
type fingerprint [sha256.Size]byte

func fingerprintOf(data []byte, err error) fingerprint {
	if err != nil {
		return sha256.Sum256([]byte("error: " + err.Error()))
	}
	return sha256.Sum256(append([]byte("content: "), data...))
}

// file applies the layer of the YAML file.
func (l *loader) file(name string) fingerprint {
	if name == "" {
		return fingerprint{}
	}
	src := Source{Kind: File, Name: name}
	data, err := readFile(name)
	read := fingerprintOf(data, err)
	if err != nil {
		l.fault(src, "", "", "%s", err)
		return read
	}
	doc, problem := parse(data)
	if problem != nil {
		problem.Source.Kind, problem.Source.Name = File, name
		l.faults = append(l.faults, *problem)
		return read
	}
	if doc != nil {
		l.nodes = 0
		l.decode(l.schema, l.root, doc, "", src)
	}
	return read
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("the file does not exist")
	}
	if err != nil {
		return nil, fmt.Errorf("open the file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("the file is larger than %s", Size(maxFile))
	}
	return data, nil
}

// parse reads one YAML document; nil if there is nothing in it.
func parse(data []byte) (*yaml.Node, *Fault) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, syntaxFault(err)
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, syntaxFault(err)
	default:
		return nil, &Fault{
			Source:  Source{Line: max(second.Line, 1), Column: max(second.Column, 1)},
			Problem: "a second document begins here",
			Valid:   "leave one",
		}
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil, nil
	}
	return doc.Content[0], nil
}

// yamlLine finds the line in what the YAML library says, which is the only place
// where it gives it.
var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

func syntaxFault(err error) *Fault {
	text := err.Error()
	m := yamlLine.FindStringSubmatch(text)
	line, _ := strconv.Atoi(m[1]) // empty gives 0
	return &Fault{
		Source:  Source{Line: max(line, 1), Column: 1},
		Problem: "this is no YAML: " + strings.TrimPrefix(text, m[0]),
	}
}
