package internal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/repository"
)

// importItem is one message of an import as the reader leaves it: checked and
// normalised, or with what is wrong with it.
type importItem struct {
	sequence int64
	user     repository.User
	digest   [16]byte // of the item as it was sent
	bad      error    // why it cannot be stored
	end      error    // why nothing follows: io.EOF, or what ended the stream
}

func newImportItem(req *userv1.ImportUsersRequest) importItem {
	in := req.GetItem()
	switch {
	case req.GetStart() != nil:
		return importItem{end: invalid("start", "comes once, as the first message")}
	case in == nil:
		return importItem{end: invalid("item", "must be set")}
	}
	item := importItem{sequence: in.GetSequence(), digest: digestOf(in)}
	item.user, item.bad = newUser(in.GetUser(), in.GetUserId(), "")
	if item.sequence < 0 {
		var v violations
		v.add("sequence", "must not be negative")
		if item.bad = v.take(item.bad); item.bad == nil {
			item.bad = v.err()
		}
	}
	return item
}

// digestOf tells items with the same sequence apart.
func digestOf(in *userv1.ImportUsersRequest_Item) (d [16]byte) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(in)
	if err != nil {
		return d
	}
	sum := sha256.Sum256(raw)
	copy(d[:], sum[:])
	return d
}

// store stores a batch in one transaction and acknowledges its items in their
// order.
func (im *importer) store(ctx context.Context, batch []importItem) error {
	first := make(map[int64]int, len(batch)) // sequence -> place in items
	items := make([]repository.ImportItem, 0, len(batch))
	digests := make([][16]byte, 0, len(batch))
	for i := range batch {
		if _, seen := first[batch[i].sequence]; seen || batch[i].bad != nil {
			continue
		}
		first[batch[i].sequence] = len(items)
		items = append(items, repository.ImportItem{Sequence: batch[i].sequence, User: batch[i].user, Hash: batch[i].digest[:]})
		digests = append(digests, batch[i].digest)
	}
	results, err := im.storeItems(ctx, items)
	if err != nil {
		return err
	}
	answered := make([]bool, len(items))
	out := make([]*userv1.ImportUsersResponse, len(batch))
	for i := range batch {
		item := &batch[i]
		var res repository.ImportResult
		if item.bad == nil {
			place := first[item.sequence]
			if res = results[place]; !bytes.Equal(digests[place][:], item.digest[:]) {
				item.bad = im.h.status(repository.ErrSequenceReused)
			}
			res.Replayed = res.Replayed || answered[place]
			answered[place] = true
		}
		out[i] = im.acknowledgement(item, res)
	}
	return im.send(out)
}

// send sends acknowledgements and makes room in the window. While the instance
// drains it does not wait long for a client that does not read; the goroutine is
// then left in Send, which gRPC ends as soon as the handler has returned.
func (im *importer) send(out []*userv1.ImportUsersResponse) error {
	sent := make(chan error, 1)
	go func() {
		for _, m := range out {
			if err := im.stream.Send(m); err != nil {
				sent <- err
				return
			}
			<-im.window
		}
		sent <- nil
	}()
	draining, give := im.draining, (<-chan time.Time)(nil)
	for {
		select {
		case err := <-sent:
			return err
		case <-draining:
			draining, give = nil, time.After(drainGrace)
		case <-give:
			return errs.Draining(im.id)
		}
	}
}

// importAttempts is how often a batch is given to a store that is busy.
const importAttempts = 4

// storeItems gives a batch to the store, again if it was busy: items are known
// by their sequence, so that none is stored twice.
func (im *importer) storeItems(ctx context.Context, items []repository.ImportItem) ([]repository.ImportResult, error) {
	if len(items) == 0 {
		return nil, nil
	}
	for attempt := 1; ; attempt++ {
		im.h.metrics.batches.Inc()
		results, err := im.h.store.Import(ctx, repository.ImportBatch{ID: im.id, Items: items})
		again := errors.Is(err, repository.ErrAborted) || errors.Is(err, repository.ErrUnavailable)
		if !again || attempt == importAttempts || ctx.Err() != nil {
			return results, err
		}
		wait(ctx, time.Duration(attempt)*100*time.Millisecond)
	}
}

// acknowledgement is the answer to one item, which it counts.
func (im *importer) acknowledgement(item *importItem, res repository.ImportResult) *userv1.ImportUsersResponse {
	out := &userv1.ImportUsersResponse_Result{Sequence: item.sequence, Replayed: res.Replayed}
	bad := item.bad
	if bad == nil && res.Err != nil {
		bad = im.h.status(res.Err)
	}
	im.summary.Received++
	switch {
	case bad != nil:
		im.summary.Failed++
		im.h.metrics.failed.Inc()
		out.Replayed = false
		out.Outcome = &userv1.ImportUsersResponse_Result_Error{Error: itemStatus(bad)}
	case res.Replayed:
		im.summary.Replayed++
		im.h.metrics.replayed.Inc()
		out.Outcome = &userv1.ImportUsersResponse_Result_Name{Name: nameOf(res.ID)}
	default:
		im.summary.Created++
		im.h.metrics.created.Inc()
		out.Outcome = &userv1.ImportUsersResponse_Result_Name{Name: nameOf(res.ID)}
	}
	return &userv1.ImportUsersResponse{Message: &userv1.ImportUsersResponse_Result_{Result: out}}
}

// itemStatus is an item's error as it goes over the wire. What nobody knows is
// INTERNAL without its text, as it would be for a call.
func itemStatus(err error) *spb.Status {
	if s := errs.Status(err, Domain, ""); s != nil {
		return s.Proto()
	}
	return &spb.Status{Code: int32(codes.Internal)}
}
