package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"

	conformancev1 "github.com/keelson-dev/keelson/conformance/internal/conformancev1"
)

// service does what service.proto of the conformance suite says: each request
// holds what is to be answered, and the answer tells what was seen of the request.
type service struct {
	conformancev1.UnimplementedConformanceServiceServer
}

// Unary implements ConformanceServiceServer.
func (*service) Unary(ctx context.Context, request *conformancev1.UnaryRequest) (*conformancev1.UnaryResponse, error) {
	payload, err := one(ctx, direct(ctx), request.GetResponseDefinition(), request)
	if err != nil {
		return nil, err
	}
	return &conformancev1.UnaryResponse{Payload: payload}, nil
}

// IdempotentUnary implements ConformanceServiceServer.
func (*service) IdempotentUnary(ctx context.Context, request *conformancev1.IdempotentUnaryRequest) (*conformancev1.IdempotentUnaryResponse, error) {
	payload, err := one(ctx, direct(ctx), request.GetResponseDefinition(), request)
	if err != nil {
		return nil, err
	}
	return &conformancev1.IdempotentUnaryResponse{Payload: payload}, nil
}

// ClientStream implements ConformanceServiceServer.
func (*service) ClientStream(stream grpc.ClientStreamingServer[conformancev1.ClientStreamRequest, conformancev1.ClientStreamResponse]) error {
	var wanted *conformancev1.UnaryResponseDefinition
	var seen []proto.Message
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if len(seen) == 0 {
			wanted = request.GetResponseDefinition()
		}
		seen = append(seen, request)
	}
	payload, err := one(stream.Context(), stream, wanted, seen...)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&conformancev1.ClientStreamResponse{Payload: payload})
}

// ServerStream implements ConformanceServiceServer.
func (*service) ServerStream(request *conformancev1.ServerStreamRequest, stream grpc.ServerStreamingServer[conformancev1.ServerStreamResponse]) error {
	answers, err := begin(stream, request.GetResponseDefinition(), func(p *conformancev1.ConformancePayload) error {
		return stream.Send(&conformancev1.ServerStreamResponse{Payload: p})
	})
	if err != nil {
		return err
	}
	answers.seen = append(answers.seen, request)
	return answers.rest()
}

// BidiStream implements ConformanceServiceServer.
func (*service) BidiStream(stream grpc.BidiStreamingServer[conformancev1.BidiStreamRequest, conformancev1.BidiStreamResponse]) error {
	var answers *answers
	var both bool
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if answers == nil {
			both = request.GetFullDuplex()
			answers, err = begin(stream, request.GetResponseDefinition(), func(p *conformancev1.ConformancePayload) error {
				return stream.Send(&conformancev1.BidiStreamResponse{Payload: p})
			})
			if err != nil {
				return err
			}
		}
		answers.seen = append(answers.seen, request)
		if both && !answers.more() {
			break
		}
		if both {
			if err := answers.next(); err != nil {
				return err
			}
		}
	}
	if answers == nil {
		return nil
	}
	return answers.rest()
}

// headers is what metadata of an answer is given to.
type headers interface {
	SendHeader(md metadata.MD) error
	SetTrailer(md metadata.MD)
}

// direct gives metadata to a unary call.
func direct(ctx context.Context) headers { return unary{ctx} }

type unary struct{ ctx context.Context }

func (u unary) SendHeader(md metadata.MD) error { return grpc.SetHeader(u.ctx, md) }
func (u unary) SetTrailer(md metadata.MD)       { _ = grpc.SetTrailer(u.ctx, md) }

// one answers a call that has one answer.
func one(ctx context.Context, to headers, wanted *conformancev1.UnaryResponseDefinition, seen ...proto.Message) (*conformancev1.ConformancePayload, error) {
	info, err := observed(ctx, true, seen)
	if err != nil {
		return nil, err
	}
	if wanted == nil {
		return &conformancev1.ConformancePayload{RequestInfo: info}, nil
	}
	if err := to.SendHeader(md(wanted.GetResponseHeaders())); err != nil {
		return nil, err
	}
	to.SetTrailer(md(wanted.GetResponseTrailers()))
	if err := wait(ctx, wanted.GetResponseDelayMs()); err != nil {
		return nil, err
	}
	if e := wanted.GetError(); e != nil {
		return nil, failure(e, info)
	}
	return &conformancev1.ConformancePayload{Data: wanted.GetResponseData(), RequestInfo: info}, nil
}

// answers are those of a stream that are still to be sent.
type answers struct {
	ctx    context.Context
	wanted *conformancev1.StreamResponseDefinition
	send   func(*conformancev1.ConformancePayload) error
	seen   []proto.Message
	sent   int
}

// begin sends the header of a stream.
func begin(stream grpc.ServerStream, wanted *conformancev1.StreamResponseDefinition, send func(*conformancev1.ConformancePayload) error) (*answers, error) {
	if wanted != nil {
		if err := stream.SendHeader(md(wanted.GetResponseHeaders())); err != nil {
			return nil, err
		}
		stream.SetTrailer(md(wanted.GetResponseTrailers()))
	}
	return &answers{ctx: stream.Context(), wanted: wanted, send: send}, nil
}

// more says whether there is an answer to send.
func (a *answers) more() bool { return a.sent < len(a.wanted.GetResponseData()) }

// next sends one answer, with what was seen since the one before.
func (a *answers) next() error {
	payload := &conformancev1.ConformancePayload{Data: a.wanted.GetResponseData()[a.sent]}
	if len(a.seen) > 0 {
		info, err := observed(a.ctx, a.sent == 0, a.seen)
		if err != nil {
			return err
		}
		payload.RequestInfo = info
	}
	if err := wait(a.ctx, a.wanted.GetResponseDelayMs()); err != nil {
		return err
	}
	a.sent++
	a.seen = nil
	return a.send(payload)
}

// rest sends all answers that are left, and ends the stream as it is wanted.
func (a *answers) rest() error {
	for a.more() {
		if err := a.next(); err != nil {
			return err
		}
	}
	e := a.wanted.GetError()
	if e == nil {
		return nil
	}
	if a.sent > 0 {
		return failure(e, nil)
	}
	info, err := observed(a.ctx, true, a.seen)
	if err != nil {
		return err
	}
	return failure(e, info)
}

// observed tells what was seen of a request: with what came before the first
// message, or the messages alone.
func observed(ctx context.Context, whole bool, seen []proto.Message) (*conformancev1.ConformancePayload_RequestInfo, error) {
	info := &conformancev1.ConformancePayload_RequestInfo{}
	for _, m := range seen {
		packed, err := anypb.New(m)
		if err != nil {
			return nil, err
		}
		info.Requests = append(info.Requests, packed)
	}
	if !whole {
		return info, nil
	}
	incoming, _ := metadata.FromIncomingContext(ctx)
	for name, values := range incoming {
		info.RequestHeaders = append(info.RequestHeaders, &conformancev1.Header{Name: name, Value: values})
	}
	// The chassis gives calls without a deadline the method's own; what is asked
	// for is what the client said.
	if deadline, ok := ctx.Deadline(); ok && !call.From(ctx).Capped {
		info.TimeoutMs = proto.Int64(max(time.Until(deadline), 0).Milliseconds())
	}
	return info, nil
}

// failure is the error that is wanted, with what was seen among its details.
func failure(e *conformancev1.Error, info *conformancev1.ConformancePayload_RequestInfo) error {
	details := slices.Clone(e.GetDetails())
	if info != nil {
		packed, err := anypb.New(info)
		if err != nil {
			return err
		}
		details = append(details, packed)
	}
	return errs.Verbatim(status.FromProto(&spb.Status{Code: int32(e.GetCode()), Message: e.GetMessage(), Details: details}).Err())
}

// wait waits for as long as it is wanted.
func wait(ctx context.Context, ms uint32) error {
	if ms == 0 {
		return nil
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// md is what the suite calls headers as gRPC has them.
func md(all []*conformancev1.Header) metadata.MD {
	made := metadata.MD{}
	for _, h := range all {
		made.Append(h.GetName(), h.GetValue()...)
	}
	return made
}
