package envelope

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/anneal-ml/anneal"
)

// sourceS3 is S3's name in EventBridge.
const sourceS3 = "aws.s3"

// s3Change is what EventBridge calls one kind of change.
type s3Change struct{ kind, reason, deletion string }

// s3Detail is EventBridge's detail, as far as a notification has it.
type s3Detail struct {
	anneal.ObjectCreated
	DeletionType string `json:"deletion-type,omitempty"`
	RequestID    string `json:"request-id,omitempty"`
	SourceIP     string `json:"source-ip-address,omitempty"`
}

// changeOf translates the eventName of a notification. A name that EventBridge
// has no word for stays what it is.
//
// Source: the S3 user guide, "Amazon S3 event notification types" and
// "EventBridge event message structure".
func changeOf(eventName string) s3Change {
	switch name := strings.TrimPrefix(eventName, "s3:"); name {
	case "ObjectCreated:Put":
		return s3Change{kind: anneal.TypeObjectCreated, reason: "PutObject"}
	case "ObjectCreated:Post":
		return s3Change{kind: anneal.TypeObjectCreated, reason: "POST Object"}
	case "ObjectCreated:Copy":
		return s3Change{kind: anneal.TypeObjectCreated, reason: "CopyObject"}
	case "ObjectCreated:CompleteMultipartUpload":
		return s3Change{kind: anneal.TypeObjectCreated, reason: "CompleteMultipartUpload"}
	case "ObjectRemoved:Delete":
		return s3Change{"Object Deleted", "DeleteObject", "Permanently Deleted"}
	case "ObjectRemoved:DeleteMarkerCreated":
		return s3Change{"Object Deleted", "DeleteObject", "Delete Marker Created"}
	case "LifecycleExpiration:Delete":
		return s3Change{"Object Deleted", "Lifecycle Expiration", "Permanently Deleted"}
	case "LifecycleExpiration:DeleteMarkerCreated":
		return s3Change{"Object Deleted", "Lifecycle Expiration", "Delete Marker Created"}
	case "ObjectRestore:Post":
		return s3Change{kind: "Object Restore Initiated"}
	case "ObjectRestore:Completed":
		return s3Change{kind: "Object Restore Completed"}
	case "ObjectRestore:Delete":
		return s3Change{kind: "Object Restore Expired"}
	case "LifecycleTransition":
		return s3Change{kind: "Object Storage Class Changed"}
	case "IntelligentTiering":
		return s3Change{kind: "Object Access Tier Changed"}
	case "ObjectAcl:Put":
		return s3Change{kind: "Object ACL Updated"}
	case "ObjectTagging:Put":
		return s3Change{kind: "Object Tags Added"}
	case "ObjectTagging:Delete":
		return s3Change{kind: "Object Tags Deleted"}
	default:
		if reason, ok := strings.CutPrefix(name, "ObjectCreated:"); ok {
			return s3Change{kind: anneal.TypeObjectCreated, reason: reason}
		}
		return s3Change{kind: name}
	}
}

// source is what the record is of, whoever spells it how.
func (o *object) source() string {
	return o.optionalText("eventSource") + o.optionalText("EventSource")
}

func s3Record(record object, now time.Time) (anneal.Event, error) {
	source := record.text("eventSource") // aws:s3, or minio:s3
	change := changeOf(record.text("eventName"))
	at := record.time("eventTime", now)
	s3 := record.object("s3")
	bucket := s3.object("bucket")
	item := s3.object("object")
	key := item.text("key")
	// Some of S3's kin do not encode it: versitygw, whose buckets have the ARN
	// of the object, and others where it cannot be decoded.
	raw := strings.HasSuffix(bucket.optionalText("arn"), "/"+key)
	if decoded, err := url.QueryUnescape(key); err == nil && utf8.ValidString(decoded) && !raw {
		key = decoded
	}
	data := anneal.ObjectCreated{
		Version: "0",
		Bucket:  anneal.BucketRef{Name: bucket.text("name")},
		Object: anneal.ObjectRef{
			Key:       key,
			Size:      item.count("size"),
			ETag:      strings.Trim(item.optional("eTag"), `"`),
			VersionID: version(item.optional("versionId")),
			Sequencer: item.optional("sequencer"),
		},
		Reason: change.reason,
	}
	detail := s3Detail{ObjectCreated: data, DeletionType: change.deletion}
	if record.has("responseElements") { // S3's kin leave these out
		response := record.object("responseElements")
		detail.RequestID = response.optional("x-amz-request-id")
	}
	if record.has("requestParameters") {
		request := record.object("requestParameters")
		detail.SourceIP = request.optional("sourceIPAddress")
	}
	if err := record.err(); err != nil {
		return anneal.Event{}, err
	}
	encoded, err := json.Marshal(detail)
	if err != nil {
		panic(err) // unreachable: a struct of strings has a JSON form
	}
	e := anneal.Event{
		SpecVersion:     "1.0",
		Source:          strings.Replace(source, ":", ".", 1),
		Type:            change.kind,
		Subject:         key,
		Time:            at,
		DataContentType: "application/json",
		Data:            encoded,
		Seen:            now,
	}
	if strings.HasPrefix(e.Source, "anneal.") {
		return anneal.Event{}, fmt.Errorf("%seventSource: %q: names that begin with anneal. are anneal's own", record.path, source)
	}
	e.ID = s3ID(e, data, at.Format(time.RFC3339Nano))
	return e, nil
}

// identifyS3 gives an event that EventBridge or CloudEvents brought from S3 the
// ID and the subject that the notification of the same change has.
func identifyS3(e anneal.Event, detail object, id string) (anneal.Event, error) {
	if !detail.has("bucket") || !detail.has("object") {
		return e, nil
	}
	bucket, item := detail.object("bucket"), detail.object("object")
	data := anneal.ObjectCreated{
		Bucket: anneal.BucketRef{Name: bucket.text("name")},
		Object: anneal.ObjectRef{
			Key:       item.text("key"),
			Size:      item.count("size"),
			ETag:      strings.Trim(item.optional("etag"), `"`),
			VersionID: version(item.optional("version-id")),
			Sequencer: item.optional("sequencer"),
		},
	}
	if err := detail.err(); err != nil {
		return anneal.Event{}, err
	}
	e.Subject = data.Object.Key
	e.ID = s3ID(e, data, id)
	return e, nil
}

// s3ID is the ID of a change to an object. A change that is not a creation may
// name the version that was created, so its type and sequencer belong to it.
// Other is what tells changes apart that carry neither version nor sequencer.
func s3ID(e anneal.Event, data anneal.ObjectCreated, other string) string {
	if e.Type == anneal.TypeObjectCreated && data.ObjectVersion() != "" {
		return data.EventID(e.Source)
	}
	if data.Object.Sequencer != "" {
		other = data.Object.Sequencer
	}
	return anneal.ID("event", e.Source, e.Type, data.Bucket.Name, data.Object.Key, data.Object.VersionID, other)
}

// version is a version ID, or nothing for "null": what a bucket without versions
// calls every one of them.
func version(id string) string {
	if id == "null" {
		return ""
	}
	return id
}
