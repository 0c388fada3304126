package internal_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/internal"
	"github.com/keelson-dev/keelson/services/user/repository"
)

// BenchmarkImportUsers compares one import over a stream, with all of the
// chassis on both ends of a loopback connection in one process, with the store
// alone, given the same users in the same batches. Each iteration is one user.
//
//	go test -run '^$' -bench ImportUsers -benchtime 200000x ./services/user/internal
func BenchmarkImportUsers(b *testing.B) {
	b.Run("store", func(b *testing.B) {
		store := newStore(b)
		const batch = 512
		for n := 0; n < b.N; n += batch {
			items := make([]repository.ImportItem, 0, batch)
			for i := n; i < min(n+batch, b.N); i++ {
				email := fmt.Sprintf("user%d@example.com", i)
				items = append(items, repository.ImportItem{Sequence: int64(i), Hash: make([]byte, 16), User: repository.User{
					ID: fmt.Sprintf("user-%09d", i), Email: email, EmailKey: email, DisplayName: "User",
				}})
			}
			if _, err := store.Import(b.Context(), repository.ImportBatch{ID: "bench", Items: items}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "users/s")
	})
	b.Run("stream", func(b *testing.B) {
		cfg := internal.DefaultConfig()
		cfg.Store.SQLite.Path = filepath.Join(b.TempDir(), "users.db")
		cfg.Ops.Address, cfg.Debug.Address, cfg.Log.Level = "off", "off", "error"
		address, stop := startAlone(b, cfg)
		defer stop()
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		s := startImport(b, userv1.NewUserServiceClient(conn), "bench")
		b.ResetTimer()
		go func() {
			for i := range b.N {
				if s.Send(itemOf(int64(i), fmt.Sprintf("user-%09d", i), &userv1.User{Email: fmt.Sprintf("user%d@example.com", i), DisplayName: "User"})) != nil {
					return
				}
			}
			_ = s.CloseSend()
		}()
		for {
			msg, err := s.Recv()
			if err != nil {
				b.Fatal(err)
			}
			if sum := msg.GetSummary(); sum != nil {
				if sum.GetCreated() != int64(b.N) {
					b.Fatalf("summary is %v", sum)
				}
				break
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "users/s")
	})
}
