package demo

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/anneal-ml/anneal/objects"
)

// modelLimit is how long a model.json may be, so that a wrong artifact cannot
// fill the memory.
const modelLimit = 64 << 20

// Load reads a model from the model.tar.gz that a training left at uri.
func Load(ctx context.Context, store *objects.Store, uri string) (*Model, error) {
	r, _, err := store.Open(ctx, uri)
	if err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	defer r.Close()
	m, err := unpack(r)
	if err != nil {
		return nil, fmt.Errorf("load model %s: %w", uri, err)
	}
	return m, nil
}

func unpack(r io.Reader) (*Model, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	files := tar.NewReader(z)
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("no model.json in it")
		}
		if err != nil {
			return nil, err
		}
		if path.Clean(h.Name) != "model.json" {
			continue
		}
		var m Model
		if err := json.NewDecoder(io.LimitReader(files, modelLimit)).Decode(&m); err != nil {
			return nil, fmt.Errorf("read model.json: %w", err)
		}
		return &m, m.check()
	}
}

// check finds what would make a prediction panic.
func (m *Model) check() error {
	rows := 1
	switch m.Task {
	case Classification:
		rows = len(m.Classes) - 1
	case Regression:
	default:
		return fmt.Errorf("model.json: unknown task %q (have %s, %s)", m.Task, Classification, Regression)
	}
	if rows < 1 || len(m.Weights) != rows {
		return fmt.Errorf("model.json: %d rows of weights for %d classes", len(m.Weights), len(m.Classes))
	}
	want := 1 + coefficients(m.Features)
	for _, w := range m.Weights {
		if len(w) != want {
			return fmt.Errorf("model.json: %d weights, want %d", len(w), want)
		}
	}
	for _, f := range m.Features {
		if f.Kind == kindNumber && f.Scale == 0 {
			return fmt.Errorf("model.json: column %q has scale 0", f.Column)
		}
	}
	return nil
}
