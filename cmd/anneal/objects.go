package main

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/cloud"
	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/objects"
)

// openObjects makes what opens URIs, as the settings say.
func openObjects(cfg *configs.Config, buckets map[string]string, log *slog.Logger) (*objects.Store, error) {
	s := cfg.Settings.S3
	role, err := s.Role.Resolve()
	if err != nil {
		return nil, fmt.Errorf("s3: role: %w", err)
	}
	externalID, err := s.ExternalID.Resolve()
	if err != nil {
		return nil, fmt.Errorf("s3: externalId: %w", err)
	}
	key, err := s.KMSKey.Resolve()
	if err != nil {
		return nil, fmt.Errorf("s3: kmsKey: %w", err)
	}
	return objects.New(objects.Config{Buckets: buckets, S3: &objects.S3{
		Region: s.Region, Role: role, ExternalID: externalID, KMSKey: key, PathStyle: s.PathStyle, Log: log,
	}})
}

// anyObjects opens URIs without settings: no bucket is a folder.
func anyObjects() (*objects.Store, error) {
	return objects.New(objects.Config{S3: &objects.S3{}})
}

// objectOf is an object that was listed.
func objectOf(i objects.Info) anneal.Object {
	return anneal.Object{URI: i.URI, Bytes: i.Bytes, VersionID: i.Version.ID, ETag: i.Version.ETag}
}

// versionOf is which version of an object is to be opened.
func versionOf(o anneal.Object) objects.Version {
	return objects.Version{ID: o.VersionID, ETag: o.ETag}
}

// s3 looks at how buckets are reached that are no folders, without asking AWS.
func (d *doctor) s3() {
	s := d.cfg.Settings
	used := s.S3 != (configs.S3{}) || d.stagingFolder() == "" || slices.ContainsFunc(s.Sources, func(o configs.Source) bool { return o.SQS != nil })
	if !used {
		return
	}
	with, err := cloud.Load(d.ctx, cloud.Config{Region: s.S3.Region})
	switch {
	case err != nil:
		d.fail("s3", "correct the configuration of AWS", "%v", err)
	case with.Region == "":
		d.fail("s3", "set s3: {region: …} in "+d.cfg.File+", or AWS_REGION", "no region is known")
	default:
		d.ok("s3", "in %s, for buckets that are no folders here; AWS is not asked", with.Region)
	}
}
