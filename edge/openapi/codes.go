package openapi

// statusOf is the HTTP status of each google.rpc.Code, by code.proto, and what
// it means to a caller.
var statusOf = []struct {
	code    string
	status  int
	meaning string
}{
	{"CANCELLED", 499, "The client went away."},
	{"UNKNOWN", 500, "The server failed."},
	{"INVALID_ARGUMENT", 400, "The request is not valid; google.rpc.BadRequest names the fields."},
	{"DEADLINE_EXCEEDED", 504, "It took too long. Whether a write took place is not known."},
	{"NOT_FOUND", 404, "There is no such resource."},
	{"ALREADY_EXISTS", 409, "There is one already."},
	{"PERMISSION_DENIED", 403, "The caller may not do this."},
	{"RESOURCE_EXHAUSTED", 429, "Too many requests; Retry-After says when to come back."},
	{"FAILED_PRECONDITION", 400, "The resource is not in the state for this."},
	{"ABORTED", 409, "Somebody else changed the resource meanwhile."},
	{"OUT_OF_RANGE", 400, "What is asked for is not there any more, or not yet."},
	{"UNIMPLEMENTED", 501, "The server does not do this."},
	{"INTERNAL", 500, "The server failed."},
	{"UNAVAILABLE", 503, "The server cannot answer now; try again."},
	{"DATA_LOSS", 500, "Data was lost."},
	{"UNAUTHENTICATED", 401, "The caller did not say who it is."},
}

// ownErrors are those that the router answers by itself, before a request is a
// call, with an HTTP status that no code has.
var ownErrors = []struct {
	status        int
	code, reason  string
	meaning, when string
}{
	{406, "INVALID_ARGUMENT", "NOT_ACCEPTABLE", "Nothing that Accept names can be answered.", always},
	{408, "DEADLINE_EXCEEDED", "REQUEST_TIMEOUT", "The body did not come in time; the request may be sent again, over another connection.", withBody},
	{413, "RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE", "The body, or a line of it, is larger than the server takes, before or after decompression.", withBody},
	{415, "INVALID_ARGUMENT", "UNSUPPORTED_MEDIA_TYPE", "The body is of a type, a charset or an encoding that is not read; Accept, or Accept-Encoding, names those that are.", withBody},
}

// When the router answers with an error of its own.
const (
	always   = ""
	withBody = "the request has a body"
)

func codeNames() []string {
	names := make([]string, len(statusOf))
	for i, row := range statusOf {
		names[i] = row.code
	}
	return names
}

// httpStatus returns the HTTP status of a code, 500 for what is none.
func httpStatus(code string) int {
	for _, row := range statusOf {
		if row.code == code {
			return row.status
		}
	}
	return 500
}

// meaning returns what an HTTP status means to a caller.
func meaning(status int) string {
	if status == 412 {
		return "The resource is not the one that If-Match names."
	}
	for _, own := range ownErrors {
		if own.status == status {
			return own.meaning
		}
	}
	var text string
	for _, row := range statusOf {
		if row.status == status && (status != 500 || row.code == "INTERNAL") {
			if text != "" {
				text += " "
			}
			text += row.code + ": " + row.meaning
		}
	}
	return text
}
