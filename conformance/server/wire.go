package main

import (
	"encoding/binary"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"
)

// maxMessage bounds what the runner may send; certificates are a few KiB.
const maxMessage = 1 << 20

// readMessage reads a message after its size in four bytes, big-endian.
func readMessage(r io.Reader, into proto.Message) error {
	var size uint32
	if err := binary.Read(r, binary.BigEndian, &size); err != nil {
		return fmt.Errorf("read the size: %w", err)
	}
	if size > maxMessage {
		return fmt.Errorf("the message has %d bytes, at most %d are read", size, maxMessage)
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(r, raw); err != nil {
		return fmt.Errorf("read %d bytes: %w", size, err)
	}
	return proto.Unmarshal(raw, into)
}

// writeMessage writes a message as readMessage reads it, in one write.
func writeMessage(w io.Writer, m proto.Message) error {
	raw, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 4), m)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(raw, uint32(len(raw)-4)) //nolint:gosec // a host and a certificate
	_, err = w.Write(raw)
	return err
}
