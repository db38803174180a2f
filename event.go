package anneal

import (
	"encoding/json"
	"time"
)

// Sources and types of the events that anneal itself makes. Everything else
// keeps the source and type that it came with.
const (
	SourceDirectory = "anneal.directory" // a dropped file, shaped as an S3 event
	SourceCron      = "anneal.cron"      // a tick of a schedule
	SourceManual    = "anneal.manual"    // `anneal trigger` and the API
	SourceTimer     = "anneal.timer"     // a wait that has ended
	SourceRun       = "anneal.run"       // a run that has ended

	TypeObjectCreated  = "Object Created"
	TypeScheduledEvent = "Scheduled Event"
	TypeTriggered      = "Policy Triggered"
	TypePaused         = "Policy Paused"
	TypeResumed        = "Policy Resumed"
	TypeApproved       = "Decision Approved"
	TypeRejected       = "Decision Rejected"
	TypeDeferredWake   = "Deferred Wake"
	TypeDebounceEnded  = "Debounce Ended"
	TypeRunEnded       = "Run Ended"
)

// An Event is something that happened, as a CloudEvents 1.0 envelope with
// EventBridge's names and shapes: Source is `aws.s3`, Type `Object Created`,
// and Data what EventBridge calls the detail, whichever way it came.
type Event struct {
	SpecVersion string `json:"specversion"` // "1.0"

	// ID is derived from Source and the source's own identity for what
	// happened: see [ObjectCreated.EventID] for objects.
	ID      string `json:"id"`
	Source  string `json:"source"`
	Type    string `json:"type"`
	Subject string `json:"subject,omitempty"`

	// Time is when the source says it happened.
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype,omitempty"`
	Data            json.RawMessage `json:"data,omitempty"`

	// Seen is when anneal took it in. It is the clock of every decision
	// that the event causes.
	Seen time.Time `json:"seen"`

	// Parked is why the event could not be processed; empty if it could. A
	// parked event wakes nothing. Raw is the body as it came, where it could
	// not be decoded.
	Parked string `json:"parked,omitempty"`
	Raw    []byte `json:"raw,omitempty"`
}

// ObjectCreated is the Data of an `Object Created` event, in the shape of
// EventBridge's detail for `aws.s3`.
type ObjectCreated struct {
	Version string    `json:"version"` // "0"
	Bucket  BucketRef `json:"bucket"`
	Object  ObjectRef `json:"object"`
	Reason  string    `json:"reason,omitempty"` // PutObject, CopyObject, …
}

// BucketRef names a bucket.
type BucketRef struct {
	Name string `json:"name"`
}

// ObjectRef names one version of one object.
type ObjectRef struct {
	Key       string `json:"key"`
	Size      int64  `json:"size"` // bytes
	ETag      string `json:"etag,omitempty"`
	VersionID string `json:"version-id,omitempty"`
	Sequencer string `json:"sequencer,omitempty"`
	SHA256    string `json:"sha256,omitempty"` // hex; files only
}

// Versioned is the ID of the version, empty where the bucket has no versions: S3
// calls each of them "null" there, one content like the next.
func (o ObjectRef) Versioned() string {
	if o.VersionID == "null" {
		return ""
	}
	return o.VersionID
}

// EventID is the identity of the creation of this object version: the same
// change told twice, or told another way, has the same ID.
func (o ObjectCreated) EventID(source string) string {
	return ID("event", source, o.Bucket.Name, o.Object.Key, o.ObjectVersion())
}

// URI is where the object can be read.
func (o ObjectCreated) URI() string { return "s3://" + o.Bucket.Name + "/" + o.Object.Key }

// ObjectVersion tells two contents under one URI apart.
func (o ObjectCreated) ObjectVersion() string {
	for _, v := range []string{o.Object.SHA256, o.Object.Versioned(), o.Object.Sequencer, o.Object.ETag} {
		if v != "" {
			return v
		}
	}
	return ""
}

// Triggered is the Data of a `Policy Triggered` event.
type Triggered struct {
	Policy     string         `json:"policy"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Force      bool           `json:"force,omitempty"` // skips rules, never guards
}

// Paused is the Data of a `Policy Paused` and of a `Policy Resumed` event.
type Paused struct {
	Policy string `json:"policy"`
	Note   string `json:"note,omitempty"` // why, in the person's words
}

// Approval is the Data of a `Decision Approved` and of a `Decision Rejected`
// event: the answer to a decision that asked.
type Approval struct {
	Policy   string `json:"policy"`
	Decision string `json:"decision"`
	Note     string `json:"note,omitempty"` // why, in the person's words
}

// DeferredWake is the Data of a `Deferred Wake` event: a decision that was
// deferred is looked at again.
type DeferredWake struct {
	Policy   string `json:"policy"`
	Decision string `json:"decision"`
}

// DebounceEnded is the Data of a `Debounce Ended` event: what a trigger has
// gathered is decided on.
type DebounceEnded struct {
	Policy  string    `json:"policy"`
	Trigger string    `json:"trigger"`
	Key     string    `json:"key,omitempty"`
	Opened  time.Time `json:"opened"` // Seen of the first event
	Events  int       `json:"events"`
	Objects int       `json:"objects"` // that they brought
	Rows    int64     `json:"rows"`    // in them
}

// RunEnded is the Data of a `Run Ended` event.
type RunEnded struct {
	Policy string `json:"policy"`
	Run    string `json:"run"`
	Status Status `json:"status"`
}
