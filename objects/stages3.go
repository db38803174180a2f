package objects

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/anneal-ml/anneal"
)

// stageS3 is Stage where dst is in S3. Each object there keeps a stamp of what it
// was made of, so that it is known again.
func (s *Store) stageS3(ctx context.Context, dst string, p place, files map[string]Source) error {
	prefix := strings.TrimSuffix(p.key, "/") + "/"
	have := map[string]bool{}
	if _, err := s.s3.each(ctx, dst, p.bucket, prefix, "", func(o types.Object) {
		if name := strings.TrimPrefix(aws.ToString(o.Key), prefix); name != "" {
			have[name] = true
		}
	}); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, ok := files[name]; !ok {
			return fmt.Errorf("stage %s: %w: it holds %s already, which is not to be staged", dst, ErrChanged, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		source, key := files[name], prefix+name
		stamp := anneal.ShortID("staged", source.URI, source.version())
		uri := "s3://" + p.bucket + "/" + key
		if have[name] {
			out, err := s.s3.head(ctx, "stage", uri, p.bucket, key, Version{})
			if err != nil {
				return err
			}
			if out.Metadata[stampName] != stamp {
				return fmt.Errorf("stage %s: %w: it holds another %s already", dst, ErrChanged, name)
			}
			continue
		}
		up := s.s3.upload(ctx, uri, p.bucket, key)
		up.stamp = stamp
		if err := s.stageUp(ctx, up, source); err != nil {
			return fmt.Errorf("stage %s: %w", dst, err)
		}
	}
	return nil
}

// stageUp copies a source to where up leads.
func (s *Store) stageUp(ctx context.Context, up *upload, source Source) error {
	p, err := s.object(source.URI)
	if err != nil {
		return err
	}
	sum, err := hex.DecodeString(source.Version)
	compared := err == nil && len(sum) == sha256.Size
	if p.bucket != "" && !compared {
		from, err := s.s3.stat(ctx, source.URI, p.bucket, p.key, source.Remote)
		if err != nil {
			return err
		}
		return up.copy(p.bucket, p.key, from)
	}
	in, _, err := s.OpenVersion(ctx, source.URI, source.Remote)
	if err != nil {
		return err
	}
	defer in.Close()
	h := sha256.New()
	if err := up.from(in, h); err != nil {
		up.abort()
		return err
	}
	if got := h.Sum(nil); compared && string(got) != string(sum) {
		up.abort()
		return fmt.Errorf("%s: %w: its SHA-256 is %x, not %s", source.URI, ErrChanged, got, source.Version)
	}
	if err := up.commit(); err != nil {
		up.abort()
		return err
	}
	return nil
}

// from sends all that in gives, and has h see it.
func (u *upload) from(in io.Reader, h hash.Hash) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := in.Read(buf)
		h.Write(buf[:n])
		if _, err := u.write(buf[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// unstageS3 is Unstage where dst is in S3.
func (s *Store) unstageS3(ctx context.Context, dst string, p place) error {
	prefix := strings.TrimSuffix(p.key, "/") + "/"
	var keys []string
	below, err := s.s3.each(ctx, dst, p.bucket, prefix, "/", func(o types.Object) { keys = append(keys, aws.ToString(o.Key)) })
	if err != nil {
		return err
	}
	if len(below) > 0 {
		return fmt.Errorf("remove %s: it holds the folder %s, which was not staged", dst, strings.TrimPrefix(below[0], prefix))
	}
	for _, key := range keys {
		if err := s.s3.remove(ctx, "s3://"+p.bucket+"/"+key, p.bucket, key); err != nil {
			return err
		}
	}
	return nil
}
