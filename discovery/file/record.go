package file

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/keelson-dev/keelson/discovery"
)

const (
	suffix     = ".json"
	tempPrefix = ".tmp-"
	// maxFile is the size above which a file is not an entry: twice what the largest valid instance takes when each byte is escaped.
	maxFile = 256 << 10
	// maxName is the length above which an escaped ID is cut and made unique by a hash; most file systems end at 255.
	maxName = 180
)

// errContent is wrapped by errors about what is in a file, as opposed to errors of reading it.
var errContent = errors.New("not an instance")

// record is the content of a file.
type record struct {
	discovery.Instance
	// Process tells which process wrote the file; absent in files written by hand.
	Process *process `json:"process,omitempty"`
}

// process names one process so that neither a reused PID nor another host's is taken for it.
type process struct {
	PID int `json:"pid"`
	// Start is when the process started, in the system's own words; empty where the system does not say.
	Start string `json:"start,omitempty"`
	// Scope is where the PID means something: host, boot and PID namespace.
	Scope string `json:"scope,omitempty"`
}

// processOf returns the process that an instance is: its PID, by default the calling process.
func processOf(in discovery.Instance) process {
	pid := in.PID
	if pid == 0 {
		pid = os.Getpid()
	}
	start, _ := startOf(pid)
	return process{PID: pid, Start: start, Scope: scope()}
}

func encode(in discovery.Instance) ([]byte, error) {
	p := processOf(in)
	b, err := json.MarshalIndent(record{Instance: in, Process: &p}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode instance %q: %w", in.ID, err)
	}
	return append(b, '\n'), nil
}

// read reads one entry. The error wraps errContent when the file could be read and is no entry.
func read(path string) (record, error) {
	info, err := os.Stat(path)
	if err != nil {
		return record{}, err
	}
	if !info.Mode().IsRegular() {
		return record{}, fmt.Errorf("%s: is %s, not a file: %w", path, info.Mode().Type(), errContent)
	}
	f, err := os.Open(path)
	if err != nil {
		return record{}, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return record{}, err
	}
	return decode(path, b)
}

func decode(path string, b []byte) (record, error) {
	if len(b) > maxFile {
		return record{}, fmt.Errorf("%s: is larger than %d bytes: %w", path, maxFile, errContent)
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return record{}, fmt.Errorf("%s: %w: %w", path, errContent, err)
	}
	if r.Service == "" {
		r.Service = filepath.Base(filepath.Dir(path))
	}
	if r.ID == "" {
		r.ID = strings.TrimSuffix(filepath.Base(path), suffix)
	}
	return r, nil
}

// escape makes a file name of an ID such that no two IDs share one, on file systems that ignore case too: lower case letters, digits, '-',
// '_' and inner dots stay, every other byte becomes %XX, and a long name is cut and ends in '~' and a hash.
func escape(id string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(id) {
		c := id[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	name := b.String()
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(id))
	return name[:maxName-33] + "~" + hex.EncodeToString(sum[:16])
}
