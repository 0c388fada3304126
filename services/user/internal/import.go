package internal

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// ImportConfig bounds ImportUsers. The zero value works.
type ImportConfig struct {
	// Window is how many items of a stream are read before the first of them
	// is acknowledged; 0: 2048.
	Window int `yaml:"window" default:"2048" min:"1" max:"1000000" doc:"items of one import that are read ahead of their acknowledgement"`
	// Batch is how many items at most are stored in one transaction; 0: 512.
	Batch int `yaml:"batch" default:"512" min:"1" max:"10000" doc:"items of one import that are stored in one transaction, at most"`
}

func (c ImportConfig) withDefaults() ImportConfig {
	c.Window = orDefault(c.Window, 2048)
	c.Batch = min(orDefault(c.Batch, 512), c.Window)
	return c
}

const maxImportID = 128

// importer is one ImportUsers stream. Its goroutine stores and acknowledges; a
// second one reads, checks and queues, and stops reading when the window is
// full. What has piled up while one transaction ran is the next one: batches
// are large under load, and an item that comes alone waits for nobody.
type importer struct {
	h        *Handler
	stream   grpc.BidiStreamingServer[userv1.ImportUsersRequest, userv1.ImportUsersResponse]
	draining <-chan struct{}
	id       string
	queue    chan importItem
	window   chan struct{} // a token for each item that is not acknowledged
	summary  userv1.ImportUsersResponse_Summary
}

// ImportUsers stores the users of a stream (see the contract in user.proto).
func (h *Handler) ImportUsers(stream grpc.BidiStreamingServer[userv1.ImportUsersRequest, userv1.ImportUsersResponse]) error {
	id, err := readStart(stream)
	if err != nil {
		return h.status(err)
	}
	im := &importer{
		h: h, stream: stream, draining: h.draining(stream.Context()), id: id,
		queue: make(chan importItem, h.cfg.Import.Window), window: make(chan struct{}, h.cfg.Import.Window),
	}
	started := &userv1.ImportUsersResponse_Started{ImportId: id, Window: int32(h.cfg.Import.Window)} //nolint:gosec // a window of more than 2^31 items is no window
	if err := stream.Send(&userv1.ImportUsersResponse{Message: &userv1.ImportUsersResponse_Started_{Started: started}}); err != nil {
		return err
	}
	// The reader ends with the stream: when it has read all, or when the handler
	// has returned and gRPC ends Recv.
	go im.read(stream.Context())
	return h.status(im.run(stream.Context()))
}

// readStart reads the first message.
func readStart(stream grpc.BidiStreamingServer[userv1.ImportUsersRequest, userv1.ImportUsersResponse]) (string, error) {
	req, err := stream.Recv()
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	id := req.GetStart().GetImportId()
	switch {
	case req.GetStart() == nil:
		return "", invalid("start", "the first message must be start, with the import_id")
	case !validImportID(id):
		return "", invalid("start.import_id", "must be 1 to %d of A-Z, a-z, 0-9, '.', '_', ':' and '-'", maxImportID)
	}
	return id, nil
}

func validImportID(id string) bool {
	if id == "" || len(id) > maxImportID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == ':', c == '-':
		default:
			return false
		}
	}
	return true
}

// read queues items until the stream's end, which it queues too.
func (im *importer) read(ctx context.Context) {
	for {
		select {
		case im.window <- struct{}{}:
		case <-ctx.Done():
			return
		}
		req, err := im.stream.Recv()
		item := importItem{end: err}
		if err == nil {
			item = newImportItem(req)
		}
		im.queue <- item // never blocks: the window is as long as the queue
		if item.end != nil {
			return
		}
	}
}

// run stores and acknowledges until the client has half-closed, the instance
// drains or the stream breaks.
func (im *importer) run(ctx context.Context) error {
	for {
		var first importItem
		select {
		case first = <-im.queue:
		default:
			select {
			case first = <-im.queue:
			case <-im.draining:
				return im.drain(ctx)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		batch, end := im.collect(first, im.h.cfg.Import.Batch)
		if err := im.work(ctx, batch, end); err != nil {
			return im.finish(err)
		}
		if im.isDraining() {
			return im.drain(ctx)
		}
	}
}

func (im *importer) isDraining() bool {
	select {
	case <-im.draining:
		return true
	default:
		return false
	}
}

// work stores a batch. The error is what ended the stream; io.EOF is its orderly
// end.
func (im *importer) work(ctx context.Context, batch []importItem, end error) error {
	if len(batch) > 0 {
		if err := im.store(ctx, batch); err != nil {
			return err
		}
	}
	return end
}

// collect takes what is queued, first first, up to a batch, a number of items or
// the end of the stream.
func (im *importer) collect(first importItem, most int) (batch []importItem, end error) {
	for item := first; ; {
		if item.end != nil {
			return batch, item.end
		}
		if batch = append(batch, item); len(batch) == min(most, im.h.cfg.Import.Batch) {
			return batch, nil
		}
		select {
		case item = <-im.queue:
		default:
			return batch, nil
		}
	}
}

// drain finishes what has been read by now, and tells the client to import
// again elsewhere. What a busy client goes on sending is left: it would keep the
// stream open for as long as there is something to send. The token is the
// import's ID.
func (im *importer) drain(ctx context.Context) error {
	for left := len(im.queue); left > 0; {
		batch, end := im.collect(<-im.queue, left)
		if err := im.work(ctx, batch, end); err != nil {
			return im.finish(err)
		}
		left -= len(batch)
	}
	return errs.Draining(im.id)
}

// finish sends the summary when the stream came to its orderly end.
func (im *importer) finish(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	return im.send([]*userv1.ImportUsersResponse{{Message: &userv1.ImportUsersResponse_Summary_{Summary: &im.summary}}})
}
