package internal

import (
	"bytes"
	"crypto/sha256"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// The bounds of a page (AIP-158).
const (
	defaultPageSize = 50
	maxPageSize     = 1000
)

// pageSize coerces what the caller asked for.
func pageSize(asked int32) (int, error) {
	switch {
	case asked < 0:
		return 0, invalid("page_size", "must not be negative; 0 means %d", defaultPageSize)
	case asked == 0:
		return defaultPageSize, nil
	}
	return min(int(asked), maxPageSize), nil
}

// listDigest binds a page token to what must not change between pages.
func listDigest(req *userv1.ListUsersRequest) [8]byte {
	b := appendText(appendText(nil, req.GetFilter()), req.GetOrderBy())
	if req.GetShowDeleted() {
		b = append(b, 1)
	}
	sum := sha256.Sum256(b)
	return [8]byte(sum[:8])
}

// sealPage makes the token of the page after a position.
func sealPage(req *userv1.ListUsersRequest, position []string) string {
	if position == nil {
		return ""
	}
	digest := listDigest(req)
	b := digest[:]
	for _, p := range position {
		b = appendText(b, p)
	}
	return seal(tokenPage, b)
}

// openPage returns the position in the request's page token; nil for the first
// page.
func openPage(req *userv1.ListUsersRequest, parts int) ([]string, error) {
	if req.GetPageToken() == "" {
		return nil, nil
	}
	garbled := invalid("page_token", "is not a token of ListUsers; pass next_page_token unchanged, or nothing for the first page")
	b, err := open(tokenPage, req.GetPageToken())
	if err != nil || len(b) < 8 {
		return nil, garbled
	}
	digest := listDigest(req)
	if !bytes.Equal(digest[:], b[:8]) {
		return nil, invalid("page_token", "was made with another filter, order_by or show_deleted; repeat those of the first page, or begin anew")
	}
	var position []string
	for rest := b[8:]; len(rest) > 0; {
		var part string
		if part, rest, err = cutText(rest); err != nil {
			return nil, garbled
		}
		position = append(position, part)
	}
	if len(position) != parts {
		return nil, garbled
	}
	return position, nil
}
