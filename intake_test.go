package keelson_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/keelsontest"
)

// intakeClient sends messages as fast as they are read, and counts.
type intakeClient struct {
	frame []byte
	left  int64
	at    int
	read  atomic.Int64
}

func (c *intakeClient) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), c.left)], c.frame[c.at:])
	c.at, c.left = (c.at+n)%len(c.frame), c.left-int64(n)
	c.read.Add(int64(n))
	return n, nil
}

// intakeService takes uploads and looks how far ahead of it the client is read.
type intakeService struct {
	grpc_testing.UnimplementedTestServiceServer
	client *intakeClient
	most   int64
}

func (s *intakeService) StreamingInputCall(stream grpc_testing.TestService_StreamingInputCallServer) error {
	received := int64(0)
	for {
		s.most = max(s.most, s.client.read.Load()-received)
		_, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&grpc_testing.StreamingInputCallResponse{AggregatedPayloadSize: int32(received)}) //nolint:gosec // small
		}
		if err != nil {
			return err
		}
		received += int64(len(s.client.frame))
	}
}

func TestUploadsByHTTPAreReadNoFasterThanTheyAreServed(t *testing.T) {
	for name, size := range map[string]int{"small messages": 100, "large messages": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			message, err := proto.Marshal(&grpc_testing.StreamingInputCallRequest{Payload: &grpc_testing.Payload{Body: make([]byte, size)}})
			if err != nil {
				t.Fatal(err)
			}
			frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...) //nolint:gosec // small
			const total = 16 << 20
			client := &intakeClient{frame: frame, left: int64(total / len(frame) * len(frame))}
			want := client.left
			handler := &intakeService{client: client}
			var service *keelson.Service
			keelsontest.Start(t, func(s *keelson.Service) {
				service = s
				grpc_testing.RegisterTestServiceServer(s, handler)
			})
			r := httptest.NewRequest(http.MethodPost, "/grpc.testing.TestService/StreamingInputCall", client)
			r.ProtoMajor, r.ProtoMinor = 2, 0
			r.Header.Set("Content-Type", "application/grpc")
			w := httptest.NewRecorder()
			awaitServing(t, service)
			service.ServeHTTP(w, r)
			if status := w.Header().Get("Grpc-Status"); status != "0" || client.read.Load() != want {
				t.Errorf("status %s (%s) after %d bytes of %d", status, w.Header().Get("Grpc-Message"), client.read.Load(), want)
			}
			// A window, a message under way, and what the reader holds besides.
			if most := int64(64<<10 + 2*len(frame) + 4*16<<10); handler.most > most {
				t.Errorf("the client was read %d bytes ahead of the handler, the most is %d", handler.most, most)
			}
		})
	}
}

// awaitServing waits until a service takes calls by net/http.
func awaitServing(t *testing.T, s *keelson.Service) {
	t.Helper()
	keelsontest.Eventually(t, "the service to serve", func() bool {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return w.Code != http.StatusServiceUnavailable
	})
}

// UnaryCall answers how long the request was.
func (s *intakeService) UnaryCall(_ context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	return &grpc_testing.SimpleResponse{Username: strconv.Itoa(len(r.GetPayload().GetBody()))}, nil
}

func TestARequestByHTTPLargerThanTheWindowArrives(t *testing.T) {
	for _, size := range []int{0, 64<<10 - 20, 64 << 10, 200 << 10, 2 << 20} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			message, err := proto.Marshal(&grpc_testing.SimpleRequest{Payload: &grpc_testing.Payload{Body: make([]byte, size)}})
			if err != nil {
				t.Fatal(err)
			}
			frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...) //nolint:gosec // small
			var service *keelson.Service
			keelsontest.Start(t, func(s *keelson.Service) {
				service = s
				grpc_testing.RegisterTestServiceServer(s, &intakeService{})
			})
			r := httptest.NewRequest(http.MethodPost, "/grpc.testing.TestService/UnaryCall", &intakeClient{frame: frame, left: int64(len(frame))})
			r.ProtoMajor, r.ProtoMinor = 2, 0
			r.Header.Set("Content-Type", "application/grpc")
			w := httptest.NewRecorder()
			awaitServing(t, service)
			service.ServeHTTP(w, r)
			if status := w.Header().Get("Grpc-Status"); status != "0" || !strings.Contains(w.Body.String(), strconv.Itoa(size)) {
				t.Errorf("status %s (%s): %q", status, w.Header().Get("Grpc-Message"), w.Body)
			}
		})
	}
}
