package tasks

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/wire"
)

// bucketActions are those of aws-sdk:s3 that a bucket has that is a folder here.
const bucketActions = "getObject, headObject, listObjectsV2, putObject"

// localObject does what S3 would, with objects of a bucket that is a folder
// here.
func (t *Tasks) localObject(ctx context.Context, e asl.Effect, action string, in value.Value) (asl.Outcome, error) {
	text := func(name string) string { v, _ := in.Find(name); return v.Text() }
	uri := "s3://" + text("Bucket") + "/" + text("Key")
	refuse := func(code, exception, message string, status int) (asl.Outcome, error) {
		if ctx.Err() != nil {
			return asl.Outcome{}, ctx.Err()
		}
		return ofSDK("s3").refusal(&wire.Error{Code: code, Exception: exception, Message: message, Status: status, RequestID: requestID("request", e.ID), Attempts: 1}), nil
	}
	switch action {
	case "getObject", "headObject":
		r, err := t.cfg.Objects.Open(ctx, uri)
		if err != nil {
			t.cfg.Log.DebugContext(ctx, "object not opened", "uri", uri, "err", err)
			return refuse("NoSuchKey", "NoSuchKey", "The specified key does not exist.", 404)
		}
		defer r.Close()
		dated, known := r.(interface{ ModTime() time.Time })
		sum := md5.New()
		var kept strings.Builder
		length, err := io.Copy(io.MultiWriter(sum, &prefix{&kept, asl.MaxData + 1}), r)
		if err != nil {
			return refuse("InternalError", "", err.Error(), 500)
		}
		members := []value.Member{
			{Key: "AcceptRanges", Value: value.OfString("bytes")},
			{Key: "ContentLength", Value: value.OfInt(length)},
			{Key: "ContentType", Value: value.OfString("binary/octet-stream")},
			{Key: "ETag", Value: value.OfString(`"` + hex.EncodeToString(sum.Sum(nil)) + `"`)},
			{Key: "Metadata", Value: value.OfObject()},
		}
		if known {
			members = append(members, value.Member{Key: "LastModified", Value: value.OfString(dated.ModTime().UTC().Format("2006-01-02T15:04:05Z"))})
		}
		if action == "getObject" {
			members = append(members, value.Member{Key: "Body", Value: value.OfString(strings.ToValidUTF8(kept.String(), "\uFFFD"))})
		}
		return asl.Outcome{Output: value.OfObject(members...).Append(nil)}, nil
	case "putObject":
		body := []byte{}
		if v, ok := in.Find("Body"); ok && v.Kind() != value.Null {
			body = v.Append(nil) // as S3 is sent it: JSON, of a text too
		}
		if err := t.cfg.Objects.Write(ctx, uri, strings.NewReader(string(body))); err != nil {
			return refuse("InternalError", "", err.Error(), 500)
		}
		sum := md5.Sum(body)
		return asl.Outcome{Output: encode(map[string]string{
			"ChecksumCRC32": base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body))),
			"ChecksumType":  "FULL_OBJECT",
			"ETag":          `"` + hex.EncodeToString(sum[:]) + `"`,
		})}, nil
	case "listObjectsV2":
		whole := "s3://" + text("Bucket") + "/"
		all, err := t.cfg.Objects.List(ctx, whole+text("Prefix"))
		if err != nil {
			return refuse("InternalError", "", err.Error(), 500)
		}
		const most = 1000
		contents := []map[string]string{}
		for _, uri := range all[:min(len(all), most)] {
			contents = append(contents, map[string]string{"Key": strings.TrimPrefix(uri, whole)})
		}
		return asl.Outcome{Output: encode(map[string]any{
			"Contents": contents, "IsTruncated": len(all) > most, "KeyCount": len(contents), "MaxKeys": most, "Name": text("Bucket"), "Prefix": text("Prefix"),
		})}, nil
	}
	return runtimeError(e, fmt.Sprintf("aws-sdk:s3:%s is not built for a bucket that is a folder here (have %s)", action, bucketActions)), nil
}

// A prefix keeps so much of what is written.
type prefix struct {
	to   *strings.Builder
	room int
}

func (p *prefix) Write(data []byte) (int, error) {
	n := min(len(data), p.room)
	p.to.Write(data[:n])
	p.room -= n
	return len(data), nil
}
