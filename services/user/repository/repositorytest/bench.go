package repositorytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// BenchUsersEnv is the environment variable with the number of users that
// the benchmarks of Get and List work on; 20,000 without it.
const BenchUsersEnv = "KEELSONTEST_BENCH_USERS"

const benchPage = 100

// BenchItems returns n items of an import, as users look in production: the
// IDs and names in no order.
func BenchItems(from int64, n int) []repository.ImportItem {
	items := make([]repository.ImportItem, n)
	for i := range items {
		seq := from + int64(i)
		id := fmt.Sprintf("u%016x", uint64(seq+1)*0x9E3779B97F4A7C15)
		items[i] = repository.ImportItem{Sequence: seq, Hash: []byte(id), User: repository.User{
			ID: id, Email: id + "@Example.com", EmailKey: id + "@example.com",
			DisplayName: "User " + id[8:], GivenName: "User", FamilyName: id[8:],
			Labels: map[string]string{"team": "t" + id[len(id)-1:], "source": "bench"},
		}}
	}
	return items
}

// Benchmark measures reads of s, which it fills first: Get, and pages of
// List at the start and far behind, which must cost the same.
func Benchmark(b *testing.B, s repository.Store) {
	n := 20_000
	if v, err := strconv.Atoi(os.Getenv(BenchUsersEnv)); err == nil {
		n = v
	}
	ids := fill(b, s, n)
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Get(b.Context(), ids[rand.IntN(len(ids))]); err != nil {
				b.Fatal(err)
			}
		}
	})
	far := min(10_000, n/benchPage) - 1
	for _, order := range [][]repository.Order{
		{{Field: repository.FieldID}}, {{Field: repository.FieldCreateTime, Desc: true}},
		{{Field: repository.FieldEmailKey}}, {{Field: repository.FieldDisplayName}},
	} {
		b.Run("List/"+string(order[0].Field), func(b *testing.B) { benchList(b, s, order, far) })
	}
}

func fill(b *testing.B, s repository.Store, n int) []string {
	b.Helper()
	const size = 10_000 // large: the fill is not what is measured
	start := time.Now()
	var ids []string
	for from := 0; from < n; from += size {
		items := BenchItems(int64(from), min(size, n-from))
		results, err := s.Import(b.Context(), repository.ImportBatch{ID: "bench", Items: items})
		if err != nil {
			b.Fatal(err)
		}
		for i := range results {
			if results[i].Err != nil {
				b.Fatal(results[i].Err)
			}
			ids = append(ids, items[i].User.ID)
		}
	}
	b.Logf("filled with %d users in %.1f s", n, time.Since(start).Seconds())
	return ids
}

// benchList times page 1 and a page far behind, one after the other.
func benchList(b *testing.B, s repository.Store, order []repository.Order, far int) {
	first := repository.Query{Order: order, Limit: benchPage}
	last := first
	last.After = skipPages(b, s, first, far)
	for range 20 { // both warm
		pageOf(b.Context(), b, s, first)
		pageOf(b.Context(), b, s, last)
	}
	var t1, tn time.Duration
	var n int
	for b.Loop() {
		at := time.Now()
		pageOf(b.Context(), b, s, first)
		mid := time.Now()
		pageOf(b.Context(), b, s, last)
		t1, tn = t1+mid.Sub(at), tn+time.Since(mid)
		n++
	}
	b.ReportMetric(float64(t1.Nanoseconds())/float64(n), "ns/page1")
	b.ReportMetric(float64(tn.Nanoseconds())/float64(n), fmt.Sprintf("ns/page%d", far+1))
	b.ReportMetric(float64(tn)/float64(t1), "far/first")
}

// skipPages returns the position before page n, reading in larger pages.
func skipPages(b *testing.B, s repository.Store, q repository.Query, n int) []string {
	b.Helper()
	rest := n * benchPage
	for rest > 0 {
		q.Limit = min(rest, 10*benchPage)
		page, err := s.List(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		rest -= len(page.Users)
		if q.After = page.Next; q.After == nil {
			b.Fatalf("the list ends %d users early", rest)
		}
	}
	return q.After
}

func pageOf(ctx context.Context, b *testing.B, s repository.Store, q repository.Query) {
	page, err := s.List(ctx, q)
	if err != nil || len(page.Users) != q.Limit {
		b.Fatalf("page has %d users, want %d: %v", len(page.Users), q.Limit, err)
	}
}

// BenchmarkImport measures an import through s beside bare, which does the
// same statements for the same users through the driver alone; they take
// turns, batch by batch. bare is given values that need no more work.
func BenchmarkImport(b *testing.B, s repository.Store, bare func(from int64, n int) func() error) {
	const size = 500
	var viaStore, viaBare time.Duration
	var n int64
	for b.Loop() {
		items := BenchItems(1<<40+n*size, size)
		run := bare(1<<41+n*size, size)
		at := time.Now()
		results, err := s.Import(b.Context(), repository.ImportBatch{ID: "bench", Items: items})
		mid := time.Now()
		if err != nil || results[0].Err != nil {
			b.Fatal(err, results)
		}
		if err := run(); err != nil {
			b.Fatal(err)
		}
		viaStore, viaBare = viaStore+mid.Sub(at), viaBare+time.Since(mid)
		n++
	}
	rate := func(d time.Duration) float64 { return float64(n*size) / d.Seconds() }
	b.ReportMetric(rate(viaStore), "users/s")
	b.ReportMetric(rate(viaBare), "bare-users/s")
	b.ReportMetric(rate(viaStore)/rate(viaBare), "of-bare")
}
