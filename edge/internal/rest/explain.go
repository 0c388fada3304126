package rest

import (
	"errors"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/errs"
)

// JSON writes a message as REST does: what an Any holds and is not known is bytes.
func (t *Types) JSON(m proto.Message) ([]byte, error) {
	opaque, err := newOpaque()
	if err != nil {
		return nil, err
	}
	return (&encoder{t, opaque}).message(m)
}

// Explain says what is wrong with JSON that another protocol could not read as a
// message: the same as REST says of such a body, but that fields which are not known
// are no fault. It returns nil where REST finds nothing wrong.
func (t *Types) Explain(raw []byte, m protoreflect.Message) *errs.Error {
	d := decoder{types: t, lenient: true}
	doc := document{raw: raw, line: 1}
	bad := doc.syntax("")
	if bad.count == 0 {
		m = m.New()
		if bad = d.message(m, doc, ""); bad.count == 0 {
			bad.missing(m, "")
		}
	}
	f := bad.fault()
	if f == nil {
		return nil
	}
	var e *errs.Error
	if !errors.As(f.err, &e) {
		return nil
	}
	return e
}
