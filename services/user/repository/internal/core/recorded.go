package core

import (
	"bytes"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// Recorded is an import item that was stored before.
type Recorded struct {
	// Result is its answer.
	Result repository.ImportResult
	// Hash is what it came with.
	Hash []byte
}

// Answer is the answer to the item when it comes again.
func (r Recorded) Answer(item *repository.ImportItem) repository.ImportResult {
	if !bytes.Equal(r.Hash, item.Hash) {
		return repository.ImportResult{Sequence: item.Sequence, Err: repository.ErrSequenceReused}
	}
	return r.Result
}

// HashOf is the item's hash as databases store it: never NULL.
func HashOf(item *repository.ImportItem) []byte {
	if item.Hash == nil {
		return []byte{}
	}
	return item.Hash
}
