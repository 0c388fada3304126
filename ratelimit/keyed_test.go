package ratelimit_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/ratelimit"
)

func TestEachKeyHasABucketOfItsOwn(t *testing.T) {
	k, err := ratelimit.NewKeyed(0)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1700000000, 0)
	q := ratelimit.Quota{Rate: 2, Burst: 3}
	var got []ratelimit.Taken
	for range 4 {
		got = append(got, k.Take("a", q, now))
	}
	want := []ratelimit.Taken{
		{OK: true, Remaining: 2, Full: 500 * time.Millisecond},
		{OK: true, Remaining: 1, Full: time.Second},
		{OK: true, Remaining: 0, Full: 1500 * time.Millisecond},
		{Remaining: 0, Wait: 500 * time.Millisecond, Full: 1500 * time.Millisecond},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the bucket (-want +got):\n%s", d)
	}
	if !k.Take("b", q, now).OK {
		t.Error("another key has used up nothing")
	}
	if !k.Take("a", q, now.Add(500*time.Millisecond)).OK {
		t.Error("a token came back")
	}
}

func TestTheNumberOfBucketsIsBounded(t *testing.T) {
	k, err := ratelimit.NewKeyed(100)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		k.Take(strconv.Itoa(i), ratelimit.Quota{Rate: 1}, time.Unix(1700000000, 0))
	}
	if k.Len() > 100 {
		t.Errorf("%d buckets are kept", k.Len())
	}
	if _, err := ratelimit.NewKeyed(-1); err == nil {
		t.Error("a negative number was taken")
	}
}

func TestSharesAddUpToTheQuotaButForOneCallEach(t *testing.T) {
	for _, tc := range []struct {
		q    ratelimit.Quota
		n    int
		want ratelimit.Quota
	}{
		{ratelimit.Quota{Rate: 10, Burst: 20}, 2, ratelimit.Quota{Rate: 5, Burst: 10}},
		{ratelimit.Quota{Rate: 10}, 4, ratelimit.Quota{Rate: 2.5, Burst: 2}},
		{ratelimit.Quota{Rate: 1}, 3, ratelimit.Quota{Rate: 1.0 / 3, Burst: 1}},
		{ratelimit.Quota{Rate: 1}, 0, ratelimit.Quota{Rate: 1, Burst: 1}},
	} {
		if got := tc.q.Share(tc.n); got != tc.want {
			t.Errorf("one of %d gets %v of %v; want %v", tc.n, got, tc.q, tc.want)
		}
	}
}

// TestNoQuotaIsTooSlowToTell takes quotas whose times are longer than a
// [time.Duration] can be.
func TestNoQuotaIsTooSlowToTell(t *testing.T) {
	for _, q := range []ratelimit.Quota{{Rate: 1e-4, Burst: 1e6}, {Rate: 1e-6, Burst: 1e6}, {Rate: 1e-12, Burst: 2}, {Rate: 1e-300}} {
		k, err := ratelimit.NewKeyed(0)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			took := k.Take("a", q, time.Unix(1700000000, 0))
			if took.Full < time.Hour || took.OK != (took.Wait == 0) || !took.OK && took.Wait < time.Hour {
				t.Errorf("%v: took %+v", q, took)
			}
			told := ratelimit.Tell("client", q, took)
			if text := told[ratelimit.PolicyKey][0] + told[ratelimit.LimitKey][0]; strings.Contains(text, "-") {
				t.Errorf("%v is told as %s", q, text)
			}
		}
	}
}

func ExampleTell() {
	k, _ := ratelimit.NewKeyed(0) // 0 is valid
	q := ratelimit.Quota{Rate: 5, Burst: 10}
	told := ratelimit.Tell("client", q, k.Take("203.0.113.7", q, time.Now()))
	fmt.Println(told[ratelimit.PolicyKey], told[ratelimit.LimitKey])
	// Output: ["client";q=10;w=2] ["client";r=9;t=1]
}
