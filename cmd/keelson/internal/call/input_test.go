package call_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/call"
)

func TestInputReadsLinesOfAnyLength(t *testing.T) {
	long := `{"payload":{"body":"` + strings.Repeat("A", 1<<20) + `"}}`
	in, err := call.OpenInput("-", iotest.HalfReader(strings.NewReader("\ufeff{}\r\n\n"+long+"\n  {} ")))
	must(t, err)
	var got []string
	for {
		line, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		got = append(got, string(line))
	}
	if len(got) != 3 || got[0] != "{}" || got[1] != long || got[2] != "  {}" {
		t.Errorf("got %d lines: %.60q", len(got), got)
	}
}

func TestInputReportsAReaderThatFails(t *testing.T) {
	in, err := call.OpenInput("-", io.MultiReader(strings.NewReader("{}\n"), iotest.ErrReader(errors.New("no more"))))
	must(t, err)
	if _, err := in.Next(); err != nil {
		t.Fatalf("first line: %v", err)
	}
	if _, err := in.Next(); err == nil || !strings.Contains(err.Error(), "read standard input: no more") {
		t.Errorf("got %v, want the reader's error", err)
	}
}

func FuzzInputKeepsEveryLine(f *testing.F) {
	f.Add([]byte("{}\n{\"payload\":{}}\r\n\n x"))
	f.Add([]byte("\ufeff{}"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := call.OpenInput("-", iotest.OneByteReader(bytes.NewReader(data)))
		must(t, err)
		var want [][]byte
		for _, l := range bytes.Split(bytes.TrimPrefix(data, []byte("\ufeff")), []byte("\n")) {
			if len(bytes.TrimSpace(bytes.TrimRight(l, "\r\n\t "))) > 0 {
				want = append(want, bytes.TrimRight(l, "\r\n\t "))
			}
		}
		for i := 0; ; i++ {
			line, err := in.Next()
			if errors.Is(err, io.EOF) {
				if i != len(want) {
					t.Fatalf("%d lines, want %d", i, len(want))
				}
				return
			}
			must(t, err)
			if i >= len(want) || !bytes.Equal(line, want[i]) {
				t.Fatalf("line %d is %q, want %q", i, line, want)
			}
			m := &grpc_testing.SimpleRequest{}
			own := protojson.Unmarshal(line, &grpc_testing.SimpleRequest{})
			if err := in.Decode(line, m, nil); (err == nil) != (own == nil) {
				t.Fatalf("decoding %q gives %v, protojson alone %v", line, err, own)
			} else if err != nil && !strings.HasPrefix(err.Error(), "standard input:") {
				t.Fatalf("the error lacks the place: %v", err)
			}
		}
	})
}
