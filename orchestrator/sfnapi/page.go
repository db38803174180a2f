package sfnapi

import (
	"encoding/base64"
	"strings"
)

// A page is what a list was asked for.
type page struct {
	NextToken  string `json:"nextToken"`
	MaxResults int    `json:"maxResults"`
}

// size is how many results a page has at most.
func (p page) size() int {
	if p.MaxResults == 0 {
		return 100
	}
	return p.MaxResults
}

// after is where the page begins: what its token was made of. of is what the
// list is of, so that a token belongs to one list.
func (p page) after(of string) (string, error) {
	if p.NextToken == "" {
		return "", nil
	}
	data, err := base64.RawURLEncoding.DecodeString(p.NextToken)
	where, ok := strings.CutPrefix(string(data), of+"\x00")
	if err != nil || !ok {
		return "", refuse("InvalidToken", "Invalid Token: 'Invalid token'")
	}
	return where, nil
}

// token is that of the page which begins after where.
func token(of, where string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(of + "\x00" + where))
}

// cut is one page of items that are in the order of their keys. What is deleted
// between two pages does not disturb the second.
func cut[T any](items []T, key func(T) string, p page, of string) (part []T, next string, err error) {
	after, err := p.after(of)
	if err != nil {
		return nil, "", err
	}
	begin := 0
	for after != "" && begin < len(items) && key(items[begin]) <= after {
		begin++
	}
	end := min(len(items), begin+p.size())
	if end < len(items) {
		next = token(of, key(items[end-1]))
	}
	return append([]T{}, items[begin:end]...), next, nil
}
