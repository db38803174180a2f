package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/objects"
)

// stagingOf is the URI under which runs find their data: an s3:// URI where the
// folder is below a bucket.
func stagingOf(cfg *configs.Config, o *objects.Store) controller.Staging {
	staging := cfg.Settings.Staging
	if !strings.Contains(staging, "://") {
		staging = o.URI(staging)
	}
	return controller.Staging(strings.TrimRight(staging, "/"))
}

// stage puts exactly these objects under one URI, with a SageMaker manifest
// beside it.
func (d *daemon) stage(ctx context.Context, training anneal.Training) error {
	var sources []objects.Source
	for _, o := range training.Objects {
		sources = append(sources, objects.Source{URI: o.URI, Version: o.Version, Remote: versionOf(o)})
	}
	if err := d.objects.Stage(ctx, training.Prefix, sources); err != nil {
		return err
	}
	list, err := d.objects.List(ctx, training.Prefix)
	if err != nil {
		return err
	}
	entries := []any{map[string]string{"prefix": training.Prefix}}
	for _, info := range list {
		entries = append(entries, info.URI[len(training.Prefix):])
	}
	data, err := json.Marshal(entries)
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	return jobObjects{d.objects}.Write(ctx, training.Manifest, bytes.NewReader(data))
}

// jobObjects is the objects as jobs read and write them.
type jobObjects struct{ *objects.Store }

func (o jobObjects) List(ctx context.Context, prefix string) ([]string, error) {
	list, err := o.Store.List(ctx, prefix)
	var uris []string
	for _, info := range list {
		uris = append(uris, info.URI)
	}
	return uris, err
}

func (o jobObjects) Open(ctx context.Context, uri string) (io.ReadCloser, error) {
	r, info, err := o.Store.Open(ctx, uri)
	if err != nil {
		return nil, err
	}
	return dated{r, info.ModTime}, nil
}

// dated is an object with the time that it was written.
type dated struct {
	io.ReadCloser
	at time.Time
}

func (d dated) ModTime() time.Time { return d.at }

func (o jobObjects) Write(ctx context.Context, uri string, r io.Reader) error {
	w, err := o.Store.Create(ctx, uri)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Commit()
}
