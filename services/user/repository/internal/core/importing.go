package core

import (
	"fmt"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// CheckBatch returns the InvalidError of a batch that cannot be stored as a
// whole.
func CheckBatch(b *repository.ImportBatch) error {
	if b.ID == "" {
		return &repository.InvalidError{Field: "ImportBatch.ID", Problem: "must not be empty"}
	}
	if err := repository.CheckText("ImportBatch.ID", b.Scope+b.ID); err != nil {
		return err
	}
	seen := make(map[int64]struct{}, len(b.Items))
	for i := range b.Items {
		seen[b.Items[i].Sequence] = struct{}{}
	}
	if len(seen) < len(b.Items) {
		return &repository.InvalidError{Field: "ImportBatch.Items", Problem: fmt.Sprintf("a sequence occurs twice: %d items have %d sequences", len(b.Items), len(seen))}
	}
	return nil
}

// SequenceRange returns the least and the greatest sequence of a batch.
func SequenceRange(b *repository.ImportBatch) (low, high int64) {
	low, high = b.Items[0].Sequence, b.Items[0].Sequence
	for i := range b.Items {
		low, high = min(low, b.Items[i].Sequence), max(high, b.Items[i].Sequence)
	}
	return low, high
}
