package items

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"

	"github.com/anneal-ml/anneal/objects"
)

// magic is what a Parquet file begins with, in base64.
var magic = base64.StdEncoding.EncodeToString([]byte("PAR"))

// From begins to read what an object holds, as it was found there: text, in JSON
// where the InputType is empty, as that of a listing. A Parquet file, which is no
// text, is in base64. Of a manifest it is what the files hold that it names, in the
// format that it looks like. Close the Reader.
func From(ctx context.Context, text string, spec Spec) (*Reader, error) {
	if spec.MaxItems < 0 {
		return nil, wrong("field MaxItems must be positive")
	}
	r := &Reader{ctx: ctx, spec: spec, left: Most, format: cmp.Or(spec.InputType, "JSON"), columns: spec.Headers}
	if spec.MaxItems > 0 {
		r.left = min(spec.MaxItems, Most)
	}
	if r.format == "MANIFEST" {
		r.format = looksLike(text)
	}
	var at struct{ Bucket, Key string }
	if err := json.Unmarshal(spec.Parameters, &at); err != nil {
		return nil, wrong("the parameters of the ItemReader: %v", err)
	}
	r.source = strings.TrimSuffix("s3://"+at.Bucket+"/"+at.Key, "/")
	var file io.ReadCloser = io.NopCloser(strings.NewReader(text))
	info := objects.Info{}
	if r.format == "PARQUET" {
		data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return nil, wrong("a Parquet file is given in base64, and this is none: %v", err)
		}
		file, info = inMemory{bytes.NewReader(data)}, objects.Info{URI: "the file", Bytes: int64(len(data))}
	}
	var err error
	if r.in, err = r.stream(file, info); err != nil {
		return nil, err
	}
	return r, nil
}

// looksLike is the format of what the files of a manifest hold.
func looksLike(text string) string {
	switch text = strings.TrimSpace(text); {
	case strings.HasPrefix(text, "["):
		return "JSON"
	case strings.HasPrefix(text, "{"):
		return "JSONL"
	case strings.HasPrefix(text, magic):
		return "PARQUET"
	}
	return "CSV"
}

// inMemory is a file in memory.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }
