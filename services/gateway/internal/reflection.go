package internal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
)

// askTimeout bounds all questions that are asked of a backend at once.
const askTimeout = 10 * time.Second

// maxQuestions is how many questions are asked of a backend at once.
const maxQuestions = maxFiles

// The versions of gRPC's reflection. Their messages are the same but for their names.
const (
	reflectionV1      = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
	reflectionV1Alpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
)

// errNoReflection is an answer too: asking again soon tells nothing new.
var errNoReflection = errors.New("it does not serve gRPC reflection; turn that on (grpc.reflection), or give its descriptors as a file (descriptors)")

// asker asks a backend, first by the version of reflection that it answered by the
// last time.
type asker struct{ old bool }

// ask asks an instance what methods services have, by gRPC reflection. Services that
// it does not know are not in the answer.
func (a *asker) ask(ctx context.Context, conn grpc.ClientConnInterface, services []string, most int) (map[string]description, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for range 2 {
		method := reflectionV1
		if a.old {
			method = reflectionV1Alpha
		}
		found, err := askBy(ctx, conn, method, services, most)
		if errs.Code(err) != codes.Unimplemented {
			return found, err
		}
		a.old = !a.old
	}
	return nil, errNoReflection
}

// question is a stream of gRPC's reflection.
type question struct {
	grpc.ClientStream
	asked int
	files *describedFiles
}

// askBy asks by one version of reflection.
func askBy(ctx context.Context, conn grpc.ClientConnInterface, method string, services []string, most int) (map[string]description, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the stream
	defer cancel()
	stream, err := conn.NewStream(ctx, bidi(), method, grpc.MaxCallRecvMsgSize(most), keelson.WithoutBreaker())
	if err != nil {
		return nil, fmt.Errorf("ask by reflection: %w", err)
	}
	q := &question{ClientStream: stream, files: newDescribedFiles(most)}
	for _, name := range services {
		err := q.ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}})
		if err != nil && !errors.Is(err, errNotDescribed) {
			return nil, err
		}
	}
	for name := q.files.missing(); name != ""; name = q.files.missing() {
		err := q.ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileByFilename{FileByFilename: name}})
		if errors.Is(err, errNotDescribed) || err == nil && q.files.names[name] == nil {
			err = q.files.wellKnown(name)
		}
		if err != nil {
			return nil, err
		}
	}
	return q.files.services(services)
}

// errNotDescribed says that a backend does not know what was asked for.
var errNotDescribed = errors.New("the backend does not describe it")

// ask sends a question and takes the files of its answer.
func (q *question) ask(req *reflectionv1.ServerReflectionRequest) error {
	if q.asked++; q.asked > maxQuestions {
		return fmt.Errorf("the descriptors are not complete after %d questions", maxQuestions)
	}
	answer := &reflectionv1.ServerReflectionResponse{}
	sendErr := q.SendMsg(req) // how the stream ended is heard by receiving
	if err := q.RecvMsg(answer); err != nil {
		return fmt.Errorf("ask by reflection: %w", errors.Join(err, sendErr))
	}
	if e := answer.GetErrorResponse(); e != nil {
		if codes.Code(e.GetErrorCode()) == codes.NotFound { //nolint:gosec // the same 32 bits
			return errNotDescribed
		}
		return fmt.Errorf("the backend answers by reflection with code %d: %q", e.GetErrorCode(), e.GetErrorMessage())
	}
	for _, raw := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
		if err := q.files.add(raw); err != nil {
			return err
		}
	}
	return nil
}
