package edge

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/keelson-dev/keelson/call"
)

// pieces encodes bytes as base64 that is padded every n bytes.
func pieces(b []byte, n int) string {
	var text strings.Builder
	for len(b) > 0 {
		k := min(n, len(b))
		text.WriteString(base64.StdEncoding.EncodeToString(b[:k]))
		b = b[k:]
	}
	return text.String()
}

func FuzzTextDecodesWhatWasEncodedInAnyPieces(f *testing.F) {
	f.Add([]byte("hello"), 1, byte(0))
	f.Add([]byte("\x00\x00\x00\x00\x02hi"), 4, byte(3))
	f.Fuzz(func(t *testing.T, b []byte, n int, how byte) {
		text := pieces(b, max(1, n&1023))
		var r io.Reader = strings.NewReader(text)
		if how&1 != 0 {
			r = iotest.OneByteReader(r)
		}
		if how&2 != 0 {
			r = iotest.DataErrReader(r)
		}
		got, err := io.ReadAll(newTextReader(io.NopCloser(r)))
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	})
}

func FuzzTextThatIsNoneEnds(f *testing.F) {
	for _, s := range []string{"", "=", "AA", "A", "AA==AA==", "AA=A", "====", "A\r\nA==", "Zm9v!"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := io.ReadAll(newTextReader(io.NopCloser(strings.NewReader(s))))
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", s, err)
		}
		if len(got) > len(s) {
			t.Errorf("%q became longer: %q", s, got)
		}
	})
}

// framesOf reads a body of messages through the edge's watch.
func framesOf(t testing.TB, r io.Reader, gather bool) ([]byte, error) {
	t.Helper()
	x := &exchange{edge: &Edge{cfg: Config{}.withDefaults(4 << 20)}}
	b := &body{ReadCloser: io.NopCloser(r), x: x, framing: prefixed, gather: gather, limit: 1 << 16}
	if !gather {
		b.limit = 0
	}
	return io.ReadAll(b)
}

func FuzzFramesArePassedOnWholeOrRefused(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x02hi\x01\x00\x00\x00\x00"), false)
	f.Add([]byte("\x00\xff\xff\xff\xff"), true)
	f.Add([]byte("\x02\x00\x00\x00\x00"), true)
	f.Add([]byte("\x00\x00\x00"), false)
	f.Fuzz(func(t *testing.T, in []byte, gather bool) {
		all, want := framesOf(t, bytes.NewReader(in), gather)
		slow, err := framesOf(t, iotest.OneByteReader(bytes.NewReader(in)), gather)
		if (err == nil) != (want == nil) {
			t.Errorf("%x: %v at once, %v byte by byte", in, want, err)
		}
		if want == nil && (!bytes.Equal(all, in) || !bytes.Equal(slow, in)) {
			t.Errorf("%x became %x and %x", in, all, slow)
		}
		if gather && len(all) > len(in) {
			t.Errorf("%x became %x", in, all)
		}
	})
}

func FuzzProxiesAreReadAndTrusted(f *testing.F) {
	f.Add("10.0.0.0/8", "1.1.1.1, 10.0.0.1")
	f.Add("::ffff:10.0.0.0/104", "[2001:db8::1]:80")
	f.Add("fe80::1%eth0", ",,")
	f.Fuzz(func(t *testing.T, cidr, forwarded string) {
		p, err := parseProxies([]string{cidr})
		if err != nil {
			return
		}
		a := p.client([]string{forwarded})
		if a.IsValid() && !strings.Contains(forwarded, ",") && p.trust(a) {
			return // the only entry is a proxy
		}
		if a.IsValid() && a.Zone() != "" {
			t.Errorf("%q: %v", forwarded, a)
		}
	})
}

func FuzzSanitisingLeavesNothingOfThePlatform(f *testing.F) {
	f.Add("X-User-Internal", "a", "close, X-Private", "mine", "9H")
	f.Add("x-forwarded-for", "1.1.1.1", "", "bad id", "99999999H")
	f.Fuzz(func(t *testing.T, name, value, connection, id, timeout string) {
		e := &Edge{proxies: proxies{netip.MustParsePrefix("10.0.0.0/8")}}
		r := &http.Request{Header: http.Header{}, RemoteAddr: "127.0.0.1:1"}
		r.Header.Set(name, value)
		r.Header.Set("Connection", connection)
		r.Header.Set("X-Correlation-Id", id)
		r.Header.Set("Grpc-Timeout", timeout)
		got := e.sanitise(r)
		if len(got) != 1 || !call.ValidCorrelationID(got[0]) || call.ValidCorrelationID(id) && got[0] != id {
			t.Errorf("%q became %q", id, got)
		}
		for k := range r.Header {
			if platformOnly(k) || forwardedHeader(k) {
				t.Errorf("%q is left", k)
			}
		}
	})
}

func FuzzPathsFindWhatTheyAreFor(f *testing.F) {
	f.Add("POST", "/a.B/C", "application/json; charset=utf-8", "connect=v1")
	f.Add("GET", "//", "application/grpc-web-text+proto", "a=b&connect=v1")
	f.Fuzz(func(t *testing.T, method, path, media, query string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://x/", nil)
		if err != nil {
			return
		}
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header["Content-Type"] = []string{media}
		p := classify(r, contentType(r.Header), func(string) bool { return false })
		if p.String() == "" || p >= protocols || p == restful || p == openAPI {
			t.Errorf("%v", p)
		}
		if strings.HasPrefix(media, "application/grpc+") && p != native {
			t.Errorf("%q is %v", media, p)
		}
	})
}
