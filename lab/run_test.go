package main

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson/lab/internal/rows"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWrongFlagsAreRefusedBeforeAnythingStarts(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"kill9", `unexpected argument "kill9"; rows are chosen with -faults`},
		{"-fault kill9", "not defined: -fault; -h shows the flags"},
		{"-seed -1", "-seed"},
		{"-short -full", "exclude each other"},
		{"-instances 1", "-instances is 1"},
		{"-rate 0", "-rate is 0"},
		{"-rate -5", "-rate is -5"},
		{"-rate NaN", "-rate is NaN"},
		{"-rate Inf", "-rate is +Inf"},
		{"-rate 1e9", "-rate is 1e+09"},
		{"-duration -5s", "-duration is -5s"},
		{"-seeds 0", "-seeds is 0"},
		{"-registry etcd", `-registry is "etcd"`},
		{"-instances 0 -seeds -2", "-instances is 0; nothing is spared with fewer than 2\n-seeds is -2"},
		{"-faults kil9", `there is no row "kil9"; -list shows them`},
		{"-faults kill9,", `there is no row ""`},
		{"-faults kill9 -json no/such/directory/f.json", "-json: open no/such/directory/f.json"},
		{"report", "report: no files"},
		{"report no-such-file.json", "no-such-file.json"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			if err := run(t.Context(), strings.Fields(tc.args)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %v; want %q", err, tc.want)
			}
		})
	}
}

func TestFlagsAreRead(t *testing.T) {
	var usage bytes.Buffer
	s, err := parse(strings.Fields("-faults kill9,slow -instances 4 -rate 50.5 -duration 7s -seed 0 -seeds 3 -full"), &usage)
	if err != nil || usage.Len() > 0 {
		t.Fatalf("%v, %q", err, usage.String())
	}
	if o := s.options; o.Instances != 4 || o.Rate != 50.5 || o.Duration.Seconds() != 7 || o.Seed != 0 || o.Seeds != 3 || !o.Full {
		t.Errorf("read as %+v", s)
	}
	if chosen, err := choose(s.faults); err != nil || len(chosen) != 2 || chosen[0].Name != "kill9" || chosen[1].Name != "slow" {
		t.Errorf("chosen are %v, %v", chosen, err)
	}
	if chosen, err := choose("all"); err != nil || len(chosen) != len(rows.All()) {
		t.Errorf("of all rows %d are chosen, %v", len(chosen), err)
	}
	if _, err := parse([]string{"-h"}, &usage); !errors.Is(err, flag.ErrHelp) || !strings.Contains(usage.String(), "-faults") {
		t.Errorf("help is %v, %q", err, usage.String())
	}
}
