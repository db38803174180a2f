package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	return body, nil
}

// decode reads a JSON body into v; an empty body leaves v as it is, an unknown
// field is refused.
func decode(r *http.Request, v any) error {
	body, err := readBody(r)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return Refuse(http.StatusBadRequest, "the body is not as expected: %v", err)
	}
	if d.More() {
		return Refuse(http.StatusBadRequest, "the body is more than one JSON value")
	}
	return nil
}
