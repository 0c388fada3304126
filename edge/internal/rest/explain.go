package rest

import (
	"errors"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/errs"
)

// Explain says what is wrong with JSON that another protocol could not read as a
// message: the same as REST says of such a body, but that fields which are not known
// are no fault. It returns nil where REST finds nothing wrong.
func (t *Types) Explain(raw []byte, m protoreflect.Message) *errs.Error {
	d := decoder{types: t, lenient: true}
	doc := document{raw: raw, line: 1}
	bad := doc.syntax("")
	if bad.count == 0 {
		bad = d.message(m.New(), doc, "")
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
