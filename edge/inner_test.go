package edge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
)

func prefixedBytes(flags byte, message string) string {
	return string(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(message)))) + message //nolint:gosec // small
}

func TestTrailersOfGRPCWebHaveNamesInLowerCase(t *testing.T) {
	message := prefixedBytes(0, "X-Not: A-Header\r\n")
	for name, test := range map[string]struct{ in, want string }{
		"trailers alone":         {prefixedBytes(0x80, "Grpc-Status: 0\r\nX-Own: Value: B\r\n"), prefixedBytes(0x80, "grpc-status: 0\r\nx-own: Value: B\r\n")},
		"after messages":         {message + message + prefixedBytes(0x80, "Grpc-Status: 5\r\n"), message + message + prefixedBytes(0x80, "grpc-status: 5\r\n")},
		"after an empty message": {prefixedBytes(0, "") + prefixedBytes(0x80, "A: B\r\n"), prefixedBytes(0, "") + prefixedBytes(0x80, "a: B\r\n")},
		"that are compressed":    {prefixedBytes(0x81, "A: B\r\n"), prefixedBytes(0x81, "a: B\r\n")},
		"that are empty":         {prefixedBytes(0x80, ""), prefixedBytes(0x80, "")},
		"none":                   {message, message},
		"nothing":                {"", ""},
	} {
		for _, size := range []int{1, 3, 5, 7, 1 << 10} {
			t.Run(name, func(t *testing.T) {
				r := httptest.NewRecorder()
				w := &webWriter{ResponseWriter: r}
				for in := []byte(test.in); len(in) > 0; {
					n := min(size, len(in))
					if wrote, err := w.Write(bytes.Clone(in[:n])); err != nil || wrote != n {
						t.Fatalf("%d of %d, %v", wrote, n, err)
					}
					in = in[n:]
				}
				if got := r.Body.String(); got != test.want {
					t.Errorf("%d bytes at once: %q, want %q", size, got, test.want)
				}
			})
		}
	}
}

// received is what the service reads of what the transcoder gives it.
func received(from io.Reader, plain bool, x *exchange) ([]byte, error) {
	return io.ReadAll(&innerBody{ReadCloser: io.NopCloser(from), x: x, plain: plain})
}

func anExchange() *exchange {
	x := &exchange{edge: &Edge{}}
	x.body = &body{x: x}
	return x
}

func TestAnEmptyMessageIsNeverCompressed(t *testing.T) {
	one, zip := prefixedBytes(0, "one"), prefixedBytes(1, "zip")
	for name, test := range map[string]struct {
		in, want string
		plain    bool
	}{
		"an empty one":          {prefixedBytes(1, ""), prefixedBytes(0, ""), false},
		"among others":          {one + prefixedBytes(1, "") + zip + prefixedBytes(1, ""), one + prefixedBytes(0, "") + zip + prefixedBytes(0, ""), false},
		"others stay":           {zip + one, zip + one, false},
		"nothing was announced": {prefixedBytes(1, ""), prefixedBytes(1, ""), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := received(strings.NewReader(test.in), test.plain, anExchange()); err != nil || string(got) != test.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// ended gives bytes together with the end, several times, as the transcoder does
// after each empty message.
type ended []string

func (e *ended) Read(p []byte) (int, error) {
	if len(*e) == 0 {
		return 0, io.EOF
	}
	n := copy(p, (*e)[0])
	*e = (*e)[1:]
	return n, io.EOF
}

func TestAnEndThatComesWithBytesIsNone(t *testing.T) {
	in := ended{prefixedBytes(0, ""), prefixedBytes(0, "a"), prefixedBytes(0, "")}
	want := strings.Join(in, "")
	if got, err := received(&in, false, anExchange()); err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	both := prefixedBytes(0, "first") + prefixedBytes(0, "second") // several in a unary call: the service says what it thinks of that
	if got, err := received(iotest.DataErrReader(strings.NewReader(both)), false, anExchange()); err != nil || string(got) != both {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWhatBreaksOffSpoilsTheCall(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		reason string // empty: nobody is there to be told
	}{
		"within a message": {io.ErrUnexpectedEOF, ReasonMalformedMessage},
		"within base64":    {errText, ReasonMalformedMessage},
		"too slowly":       {errSlow, ReasonRequestTimeout},
		"a connection":     {errors.New("reset by peer"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := anExchange()
			got, err := received(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(test.err)), false, x)
			if !errors.Is(err, errSpoilt) || string(got) != "abc" {
				t.Errorf("%q, %v", got, err)
			}
			if reason := x.spoilt.Reason(); reason != test.reason {
				t.Errorf("the client is told %q", reason)
			}
		})
	}
}

func TestWhatTheTranscoderCannotDecodeIsCaught(t *testing.T) {
	x := anExchange()
	in := &innerBody{ReadCloser: io.NopCloser(readerFunc(func([]byte) (int, error) { panic(undecodable{malformed("bad")}) })), x: x}
	if in.begins() || x.spoilt.Reason() != ReasonMalformedMessage {
		t.Errorf("%v", x.spoilt)
	}
	if _, err := in.Read(make([]byte, 1)); !errors.Is(err, errSpoilt) {
		t.Errorf("after that: %v", err)
	}
	defer func() {
		if r := recover(); r != "other" {
			t.Errorf("%v is passed over", r)
		}
	}()
	_, _ = received(readerFunc(func([]byte) (int, error) { panic("other") }), false, anExchange())
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestMetadataThatLeaves(t *testing.T) {
	to := http.Header{}
	from := http.Header{
		"X-Own": {"1"}, "Grpc-Status": {"0"}, "Grpc-Tags-Bin": {"1"}, "X-Correlation-Id": {"1"}, "Content-Type": {"application/grpc"}, "Date": nil,
		http.TrailerPrefix + "x-late": {"1"}, http.TrailerPrefix + "x-correlation-id": {"1"}, http.TrailerPrefix + "ratelimit": {"1"}, http.TrailerPrefix + "grpc-retry-pushback-ms": {"1"},
	}
	copyHeader(to, from)
	copyTrailer(to, from, true)
	want := http.Header{"X-Own": {"1"}, "Grpc-Status": {"0"}, "Content-Type": {"application/grpc"}, "Ratelimit": {"1"}, http.TrailerPrefix + "X-Late": {"1"}}
	if len(to) != len(want) {
		t.Errorf("%v, want %v", to, want)
	}
	for k := range want {
		if to[k] == nil {
			t.Errorf("%s is missing in %v", k, to)
		}
	}
}
