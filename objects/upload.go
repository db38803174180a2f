package objects

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	partSize   = 8 << 20 // bytes that are sent at a time, at first: see sizeOfPart
	alikeParts = 2000    // of an upload that have one size
	copiedOnce = 5 << 30 // bytes that S3 copies in one call at most
	copiedPart = 1 << 30 // bytes of a larger one that it copies at a time
	putTime    = 10 * time.Minute
	abortTime  = 10 * time.Second
)

// An upload writes one object to S3: in one call, or in parts where it is larger
// than one. It appears at once, or not at all.
type upload struct {
	a           *account
	ctx         context.Context
	uri         string
	bucket, key string
	stamp       string // kept with the object; see stageS3

	part  []byte // not sent yet
	id    string // of the upload in parts; empty: there is none
	parts []types.CompletedPart
}

func (a *account) upload(ctx context.Context, uri, bucket, key string) *upload {
	return &upload{a: a, ctx: ctx, uri: uri, bucket: bucket, key: key}
}

// stampName is the metadata by which a staged object is known again.
const stampName = "anneal-source"

func (u *upload) metadata() map[string]string {
	if u.stamp == "" {
		return nil
	}
	return map[string]string{stampName: u.stamp}
}

// encryption is how what is written is encrypted.
func (a *account) encryption() (types.ServerSideEncryption, *string) {
	if a.cfg.KMSKey == "" {
		return "", nil
	}
	return types.ServerSideEncryptionAwsKms, &a.cfg.KMSKey
}

// call makes one of the calls of an upload.
func (u *upload) call(ctx context.Context, action string, ask func(ctx context.Context, c *s3.Client, in func(*s3.Options)) error) error {
	return u.a.call(ctx, "write", u.uri, u.bucket, u.key, action, func(c *s3.Client, in func(*s3.Options)) error {
		ctx, cancel := context.WithTimeout(ctx, putTime)
		defer cancel()
		return ask(ctx, c, in)
	})
}

func (u *upload) write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		if len(u.part) == sizeOfPart(len(u.parts)) { // there is more: it is not the last
			if err := u.send(); err != nil {
				return done, err
			}
		}
		n := min(len(p)-done, sizeOfPart(len(u.parts))-len(u.part))
		u.part = append(u.part, p[done:done+n]...)
		done += n
	}
	return done, nil
}

// sizeOfPart is how many bytes the part has that comes after n others. S3 takes 10,000
// parts: of 8 MiB each they are 80 GB, which models outgrow, so that later parts are
// larger, and all of them 484 GiB.
func sizeOfPart(n int) int { return partSize << (n / alikeParts) }

// begin begins an upload in parts.
func (u *upload) begin() error {
	sse, key := u.a.encryption()
	return u.call(u.ctx, "PutObject", func(ctx context.Context, c *s3.Client, in func(*s3.Options)) error {
		out, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: &u.bucket, Key: &u.key, Metadata: u.metadata(), ServerSideEncryption: sse, SSEKMSKeyId: key,
		}, in)
		if err == nil {
			u.id = aws.ToString(out.UploadId)
		}
		return err
	})
}

// send sends the part that is full.
func (u *upload) send() error {
	if u.id == "" {
		if err := u.begin(); err != nil {
			return err
		}
	}
	number := int32(len(u.parts) + 1)
	err := u.call(u.ctx, "PutObject", func(ctx context.Context, c *s3.Client, in func(*s3.Options)) error {
		out, err := c.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: &u.bucket, Key: &u.key, UploadId: &u.id, PartNumber: &number, Body: bytes.NewReader(u.part),
		}, in)
		if err == nil {
			u.parts = append(u.parts, types.CompletedPart{PartNumber: &number, ETag: out.ETag,
				ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC32C: out.ChecksumCRC32C, ChecksumCRC64NVME: out.ChecksumCRC64NVME})
		}
		return err
	})
	u.part = u.part[:0]
	return err
}

// commit makes the object appear.
func (u *upload) commit() error {
	if u.id != "" {
		if len(u.part) > 0 {
			if err := u.send(); err != nil {
				return err
			}
		}
		return u.complete()
	}
	sse, key := u.a.encryption()
	return u.call(u.ctx, "PutObject", func(ctx context.Context, c *s3.Client, in func(*s3.Options)) error {
		_, err := c.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &u.bucket, Key: &u.key, Body: bytes.NewReader(u.part), Metadata: u.metadata(),
			ServerSideEncryption: sse, SSEKMSKeyId: key,
		}, in)
		return err
	})
}

func (u *upload) complete() error {
	return u.call(u.ctx, "PutObject", func(ctx context.Context, c *s3.Client, in func(*s3.Options)) error {
		_, err := c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &u.bucket, Key: &u.key, UploadId: &u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
		}, in)
		if err == nil {
			u.id = ""
		}
		return err
	})
}

// abort drops the parts that were sent, also after ctx has ended: they cost
// money.
func (u *upload) abort() error {
	if u.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), abortTime)
	defer cancel()
	return u.call(ctx, "AbortMultipartUpload", func(ctx context.Context, c *s3.Client, in func(*s3.Options)) error {
		_, err := c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &u.bucket, Key: &u.key, UploadId: &u.id}, in)
		return err
	})
}

// copy has S3 copy a version of an object of its own, whose bytes do not come
// here.
func (u *upload) copy(bucket, key string, from Info) (err error) {
	source := bucket + "/" + (&url.URL{Path: key}).EscapedPath()
	if id := from.Version.ID; id != "" {
		source += "?versionId=" + url.QueryEscape(id)
	}
	same := aws.String(`"` + from.Version.ETag + `"`)
	sse, kms := u.a.encryption()
	if from.Bytes <= copiedOnce {
		return u.call(u.ctx, "PutObject", func(ctx context.Context, c *s3.Client, in func(*s3.Options)) error {
			_, err := c.CopyObject(ctx, &s3.CopyObjectInput{
				Bucket: &u.bucket, Key: &u.key, CopySource: &source, CopySourceIfMatch: same,
				Metadata: u.metadata(), MetadataDirective: types.MetadataDirectiveReplace, ServerSideEncryption: sse, SSEKMSKeyId: kms,
			}, in)
			return err
		})
	}
	defer func() {
		if err != nil {
			u.abort()
		}
	}()
	if err := u.begin(); err != nil {
		return err
	}
	for at := int64(0); at < from.Bytes; at += copiedPart {
		number, part := int32(len(u.parts)+1), fmt.Sprintf("bytes=%d-%d", at, min(at+copiedPart, from.Bytes)-1)
		err := u.call(u.ctx, "PutObject", func(ctx context.Context, c *s3.Client, in func(*s3.Options)) error {
			out, err := c.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
				Bucket: &u.bucket, Key: &u.key, UploadId: &u.id, PartNumber: &number,
				CopySource: &source, CopySourceIfMatch: same, CopySourceRange: &part,
			}, in)
			if err == nil {
				u.parts = append(u.parts, types.CompletedPart{PartNumber: &number, ETag: out.CopyPartResult.ETag})
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return u.complete()
}
