// Package items reads what a distributed Map runs over: objects in JSON, JSON
// Lines, CSV or Parquet, listings, inventories and manifests of S3.
//
// It promises that items come in one order, as a stream: memory is bounded by
// the largest item and, for a listing, by the number of its objects. What is
// wrong with an object is an [Error], which a Map tells as
// States.ItemReaderFailed.
//
// Where a bucket is, is left to package objects; what becomes of an item, to
// package asl and the engine.
package items

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// Most is how many items a Map runs over at most.
const Most = 100_000_000

// maxItem is how large one item may be in its object, in bytes.
const maxItem = 16 << 20

// A Spec says what to read: that of an ItemReader.
type Spec struct {
	Action         string          // getObject or listObjectsV2
	Parameters     json.RawMessage // Bucket, Key, VersionId; Bucket, Prefix
	InputType      string          // CSV, JSON, JSONL, PARQUET or MANIFEST; empty: the listing itself
	ManifestType   string          // ATHENA_DATA or S3_INVENTORY; empty: as the manifest looks
	HeaderLocation string          // of CSV: FIRST_ROW or GIVEN
	Headers        []string        // where they are GIVEN
	Delimiter      string          // of CSV: COMMA, PIPE, SEMICOLON, SPACE or TAB; empty: COMMA
	Pointer        string          // to the items in JSON; empty: all of it
	LoadAndFlatten bool            // the objects of a listing are read too
	MaxItems       int64           // 0: all
}

// An Item is one of them.
type Item struct {
	Value  value.Value
	Source string // URI of the object that it comes from, as Step Functions writes it
}

// An Error says what is wrong with what was to be read.
type Error struct{ Reason string }

func (e *Error) Error() string { return e.Reason }

func wrong(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// A Reader gives items, one after the other.
type Reader struct {
	ctx   context.Context
	store *objects.Store
	spec  Spec
	left  int64

	sources []objects.Info // objects that are still to be read
	listing bool           // they are the items
	format  string         // of sources
	columns []string       // of CSV sources, where they do not have them
	source  string         // of in
	in      stream         // nil: the next source is to be opened
}

// A stream is the items of one object.
type stream interface {
	next() (value.Value, error) // io.EOF at the end
	io.Closer
}

// Open begins to read. Close the Reader.
func Open(ctx context.Context, store *objects.Store, spec Spec) (*Reader, error) {
	if spec.MaxItems < 0 {
		return nil, wrong("field MaxItems must be positive")
	}
	r := &Reader{ctx: ctx, store: store, spec: spec, left: Most, format: spec.InputType, columns: spec.Headers}
	if spec.MaxItems > 0 {
		r.left = min(spec.MaxItems, Most)
	}
	var at struct {
		Bucket, Key, Prefix string
	}
	if err := json.Unmarshal(spec.Parameters, &at); err != nil {
		return nil, wrong("the parameters of the ItemReader: %v", err)
	}
	if at.Bucket == "" {
		return nil, wrong("the parameters of the ItemReader have no Bucket")
	}
	bucket := "s3://" + at.Bucket + "/"
	if spec.Action == "listObjectsV2" {
		var err error
		if r.sources, err = store.List(ctx, bucket+at.Prefix); err != nil {
			return nil, r.failed(bucket+at.Prefix, err)
		}
		r.listing, r.source = !spec.LoadAndFlatten, "S3://"+at.Bucket
		return r, nil
	}
	if at.Key == "" {
		return nil, wrong("the parameters of the ItemReader have no Key")
	}
	r.sources = []objects.Info{{URI: bucket + at.Key}}
	if spec.InputType == "MANIFEST" || spec.ManifestType != "" {
		if err := r.manifest(bucket + at.Key); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// failed is what to say of an object that cannot be read; ctx's error stays.
func (r *Reader) failed(uri string, err error) error {
	var known *Error
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, objects.ErrNotFound) {
		return wrong("The specified key does not exist: %s", uri)
	}
	return wrong("%s: %v", uri, err)
}

// Next is the next item; io.EOF after the last.
func (r *Reader) Next() (Item, error) {
	for r.left > 0 {
		if err := r.ctx.Err(); err != nil {
			return Item{}, err
		}
		if r.listing {
			if len(r.sources) == 0 {
				return Item{}, io.EOF
			}
			info := r.sources[0]
			r.sources = r.sources[1:]
			r.left--
			return Item{Value: listed(info), Source: r.source}, nil
		}
		if r.in == nil {
			if len(r.sources) == 0 {
				return Item{}, io.EOF
			}
			info := r.sources[0]
			r.sources = r.sources[1:]
			in, err := r.open(info.URI)
			if err != nil {
				return Item{}, r.failed(info.URI, err)
			}
			r.in, r.source = in, info.URI
		}
		v, err := r.in.next()
		if err == io.EOF {
			r.in.Close()
			r.in = nil
			continue
		}
		if err != nil {
			return Item{}, r.failed(r.source, err)
		}
		r.left--
		return Item{Value: v, Source: "S3://" + strings.TrimPrefix(r.source, "s3://")}, nil
	}
	return Item{}, io.EOF
}

// Skip gives n items up.
func (r *Reader) Skip(n int64) error {
	for range n {
		if _, err := r.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// Close ends reading.
func (r *Reader) Close() error {
	if r.in == nil {
		return nil
	}
	return r.in.Close()
}

// open begins to read an object in the format of the sources.
func (r *Reader) open(uri string) (stream, error) {
	f, info, err := r.store.Open(r.ctx, uri)
	if err != nil {
		return nil, err
	}
	in, err := r.stream(f, info)
	if err != nil {
		f.Close()
		return nil, err
	}
	return in, nil
}

func (r *Reader) stream(f io.ReadCloser, info objects.Info) (stream, error) {
	plain, err := unpacked(f, info.URI)
	if err != nil {
		return nil, err
	}
	switch r.format {
	case "JSON":
		return openJSON(f, plain, r.spec.Pointer)
	case "JSONL":
		return openLines(f, plain), nil
	case "CSV":
		return openCSV(f, plain, r.columns, r.spec.Delimiter)
	case "PARQUET":
		return openParquet(f, info)
	}
	return nil, wrong("items cannot be read as %q (have CSV, JSON, JSONL, PARQUET)", r.format)
}

// listed is an object as an item of a listing. A file has no ETag: its time and size
// tell its contents apart as well as that of many servers does.
func listed(o objects.Info) value.Value {
	_, key, _ := strings.Cut(strings.TrimPrefix(o.URI, "s3://"), "/")
	tag := o.Version.ETag
	if tag == "" {
		tag = fmt.Sprintf("%x-%x", o.ModTime.UnixNano(), o.Bytes)
	}
	return value.OfObject(
		value.Member{Key: "Etag", Value: value.OfString(`"` + tag + `"`)},
		value.Member{Key: "Key", Value: value.OfString(key)},
		value.Member{Key: "LastModified", Value: value.OfInt(o.ModTime.Unix())},
		value.Member{Key: "Size", Value: value.OfInt(o.Bytes)},
		value.Member{Key: "StorageClass", Value: value.OfString("STANDARD")},
	)
}
