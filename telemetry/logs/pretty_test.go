package logs_test

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/logs"
)

func TestPrettyRendersOurLines(t *testing.T) {
	tests := []struct{ name, give, want string }{
		{
			"message",
			`{"@timestamp":"2026-01-02T03:04:05.001234Z","log.level":"info","message":"listening","ecs.version":"8.17.0","service.name":"user","address":"127.0.0.1:1","note":"two words"}`,
			`03:04:05.001 INFO  user       listening address=127.0.0.1:1 note="two words"` + "\n",
		},
		{
			"message in a call",
			`{"@timestamp":"2026-01-02T03:04:05.001234Z","log.level":"warn","message":"odd","service.node.name":"user-1","trace.id":"ab","span.id":"cd","labels.correlation_id":"o-17","rpc.service":"a.B","rpc.method":"Get"}`,
			"03:04:05.001 WARN  user-1     odd in=Get trace=ab corr=o-17\n",
		},
		{
			"stack", `{"log.level":"error","message":"boom","stack":"a\n\tb\n","n":{"x":1}}`,
			"             ERROR boom n={\"x\":1}\n    stack:\n    a\n      b\n",
		},
		{
			"durations", `{"log.level":"warn","message":"out","duration":7187000000,"next_probe":1500000000,"pause":250000000,"for":30000000000,"out":2}`,
			"             WARN  out duration=7.19s next_probe=1.5s pause=250ms for=30s out=2\n",
		},
		{"not JSON", "panic: oh\r\n", "panic: oh\n"},
		{"broken JSON", `{"a":`, `{"a":` + "\n"},
		{"not an object", `[1]`, "[1]\n"},
		{"empty", "", "\n"},
		{"terminal escapes", `{"log.level":"info","message":"\u001b[31mred\u202e"}`, `             INFO  \x1b[31mred\u202e` + "\n"},
		{"terminal escapes, not JSON", "\x1b]0;title\a", `\x1b]0;title\a` + "\n"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := string(logs.Pretty(nil, []byte(tc.give), false)); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestPrettyRendersTheLineOfACall(t *testing.T) {
	var out bytes.Buffer
	s := newSink(t, &out, logs.SinkConfig{Pretty: true})
	l := logs.New(s, logs.Config{Service: "user", Instance: "user-1", Level: slog.LevelDebug})
	l.End(ended(call.Server, policy.Unary, nil))
	c := ended(call.Client, policy.Unary, errs.NotFound("USER_NOT_FOUND", "no user"))
	c.Target = "user"
	l.End(c)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const trace = "ab000000000000000000000000000001"
	want := "03:04:05.001 INFO  user-1     UserService/GetUser              OK                 1.23ms    trace=" + trace + " corr=order-17 from=10.0.0.7:4123\n" +
		"03:04:05.001 INFO  user-1     → UserService/GetUser            NOT_FOUND          1.23ms    trace=" + trace + " corr=order-17 at=10.0.0.7:4123 target=user attempts=0 reason=USER_NOT_FOUND error=\"NOT_FOUND USER_NOT_FOUND: no user\"\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestColoursAreOnlyAdded(t *testing.T) {
	line := []byte(`{"@timestamp":"2026-01-02T03:04:05.001234Z","log.level":"error","message":"boom","a":"b"}`)
	plain, coloured := string(logs.Pretty(nil, line, false)), string(logs.Pretty(nil, line, true))
	if !strings.Contains(coloured, "\x1b[31mERROR\x1b[0m") {
		t.Errorf("got %q", coloured)
	}
	for _, code := range []string{"\x1b[0m", "\x1b[2m", "\x1b[31m"} {
		coloured = strings.ReplaceAll(coloured, code, "")
	}
	if plain != coloured {
		t.Errorf("got %q and %q", plain, coloured)
	}
}

func TestStyle(t *testing.T) {
	tests := []struct {
		format string
		pretty bool
		fails  bool
	}{{"", false, false}, {"auto", false, false}, {"json", false, false}, {"pretty", true, false}, {"xml", false, true}}
	for _, tc := range tests {
		t.Run(tc.format, func(t *testing.T) {
			pretty, color, err := logs.Style(tc.format, io.Discard)
			if pretty != tc.pretty || color || (err != nil) != tc.fails {
				t.Errorf("got %v %v %v", pretty, color, err)
			}
		})
	}
}

func FuzzPretty(f *testing.F) {
	f.Add([]byte(`{"@timestamp":"x","log.level":"info","message":"m","event.action":"server_call","event.duration":12}`))
	f.Add([]byte("\x1b[31m"))
	f.Fuzz(func(t *testing.T, line []byte) {
		got := logs.Pretty(nil, line, false)
		if !bytes.HasSuffix(got, []byte("\n")) || bytes.ContainsAny(got, "\x00\x07\x1b\x7f\r") {
			t.Errorf("%q became %q", line, got)
		}
	})
}
