package objects

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/anneal-ml/anneal/cloud"
)

// S3 is how buckets are reached that are not folders. The zero S3 is the SDK's
// own: region, credentials and endpoint come from the environment.
type S3 struct {
	Region     string // the SDK's if empty; a bucket elsewhere is followed to where it is
	Role       string // ARN of a role to assume; empty: none
	ExternalID string // that the role asks for
	// KMSKey encrypts what is written: the ID, ARN or alias of a key. Empty: as
	// the bucket does by itself.
	KMSKey string
	// PathStyle has the bucket in the path of requests, not in the host's name.
	// That is so with every endpoint that is not AWS's own.
	PathStyle bool
	// Patience is how long an answer, and each further part of it, may take to
	// come. 20 s if zero.
	Patience time.Duration
	Log      *slog.Logger // of what is wrong, once each; nowhere if nil
}

// callTime is how long a call may take that moves no object.
const callTime = 2 * time.Minute

// An account is S3 as one identity sees it.
type account struct {
	cfg S3

	mu         sync.Mutex
	client     *s3.Client                  // guarded by mu; nil until the first call
	regions    map[string]string           // guarded by mu; of buckets that are elsewhere
	conditions map[string]*cloud.Condition // guarded by mu; by bucket
}

func newAccount(cfg S3) *account {
	cfg.Patience = cmp.Or(cfg.Patience, 20*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &account{cfg: cfg, regions: map[string]string{}, conditions: map[string]*cloud.Condition{}}
}

// reach gives the client, made at the first call, and how a call reaches bucket.
func (a *account) reach(ctx context.Context, bucket string) (*s3.Client, func(*s3.Options), error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client == nil {
		with, err := cloud.Load(ctx, cloud.Config{Region: a.cfg.Region, Role: a.cfg.Role, ExternalID: a.cfg.ExternalID, Patience: a.cfg.Patience})
		if err != nil {
			return nil, nil, err
		}
		a.client = s3.NewFromConfig(with, func(o *s3.Options) {
			foreign := o.BaseEndpoint != nil
			o.UsePathStyle = a.cfg.PathStyle || foreign
			// A body that is read in parts has no checksum to compare, and others
			// than AWS do not know the newer ones.
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
			o.DisableLogOutputChecksumValidationSkipped = true
			if foreign {
				o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			}
		})
	}
	region := a.regions[bucket]
	return a.client, func(o *s3.Options) { o.Region = cmp.Or(region, o.Region) }, nil
}

// call makes a call about an object, in the region of its bucket, and says what
// went wrong in one line. The action is that of IAM, without its prefix.
func (a *account) call(ctx context.Context, doing, uri, bucket, key, action string, ask func(*s3.Client, func(*s3.Options)) error) error {
	for again := false; ; again = true {
		began := time.Now()
		client, in, err := a.reach(ctx, bucket)
		if err != nil {
			return fmt.Errorf("%s %s: %w", doing, uri, err)
		}
		err = ask(client, in)
		if err != nil && !again && a.follow(bucket, client, in, err) {
			continue
		}
		region := regionOf(client, in)
		failed := explain(doing, uri, bucket, key, action, region, err)
		a.note(ctx, bucket, region, action, began, err, failed)
		if err != nil && ctx.Err() != nil {
			return fmt.Errorf("%s %s: %w", doing, uri, context.Cause(ctx))
		}
		return failed
	}
}

func regionOf(client *s3.Client, in func(*s3.Options)) string {
	options := client.Options()
	in(&options)
	return options.Region
}

// follow finds out that the bucket is in another region than was asked, from
// an answer that says so.
func (a *account) follow(bucket string, client *s3.Client, in func(*s3.Options), err error) bool {
	region := regionTold(err)
	if region == "" || region == regionOf(client, in) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.regions[bucket] = region
	return true
}

// elsewhere are the codes of a bucket in another region.
var elsewhere = []string{"PermanentRedirect", "AuthorizationHeaderMalformed", "MovedPermanently", "TemporaryRedirect",
	"IllegalLocationConstraintException", "IncorrectEndpoint"}

var expecting = regexp.MustCompile(`expecting '([a-z0-9-]+)'`)

// regionTold is the region that an answer says the bucket is in.
func regionTold(err error) string {
	var answer *smithyhttp.ResponseError
	if code, text := answerOf(err); errors.As(err, &answer) && slices.Contains(elsewhere, code) || answer != nil && answer.HTTPStatusCode() == http.StatusMovedPermanently {
		if region := answer.Response.Header.Get("X-Amz-Bucket-Region"); region != "" {
			return region
		}
		if m := expecting.FindStringSubmatch(text); m != nil {
			return m[1]
		}
	}
	return ""
}

func answerOf(err error) (code, text string) {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer.ErrorCode(), answer.ErrorMessage()
	}
	return "", ""
}

// A failure is what went wrong with an object that is not here, and what to do.
type failure struct {
	text  string
	kind  error // which error of this package it is
	final bool  // asking again at once will not help
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

// explain says what went wrong with a call, nil if nothing did.
func explain(doing, uri, bucket, key, action, region string, err error) error {
	if err == nil {
		return nil
	}
	f := &failure{kind: ErrUnavailable}
	status := 0
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) {
		status = answer.HTTPStatusCode()
	}
	code, _ := answerOf(err)
	switch {
	case code == "NoSuchBucket":
		f.kind = ErrNotFound
		f.text = fmt.Sprintf("%s %s: %v: there is no bucket %s: make it, or correct its name", doing, uri, ErrNotFound, bucket)
	case code == "NoSuchKey", code == "NoSuchVersion", status == http.StatusNotFound:
		f.kind = ErrNotFound
		f.text = fmt.Sprintf("%s %s: %v", doing, uri, ErrNotFound)
		if code == "NoSuchVersion" {
			f.text += " of this version"
		}
	case status == http.StatusPreconditionFailed:
		f.kind = ErrChanged
		f.text = fmt.Sprintf("%s %s: %v", doing, uri, ErrChanged)
	default:
		f.text = fmt.Sprintf("%s %s: %s", doing, uri, service(bucket, key, region, regionTold(err)).Explain(action, err))
	}
	f.final = status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests || status == http.StatusMovedPermanently
	return f
}

// service is S3 as remedies name it, about an object, or about the bucket where
// key is empty.
func service(bucket, key, region, told string) cloud.Service {
	partition := "aws"
	switch {
	case strings.HasPrefix(region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		partition = "aws-us-gov"
	}
	resource := "arn:" + partition + ":s3:::" + bucket
	if key != "" {
		resource += "/" + key
	}
	s := cloud.Service{Name: "S3", Prefix: "s3", Region: region, Resource: resource, Remedies: map[string]string{
		"InvalidObjectState":            "the object is archived: restore it first",
		"MethodNotAllowed":              "the version is a delete marker: the object was deleted",
		"InvalidBucketName":             fmt.Sprintf("%q is no bucket's name: correct it", bucket),
		"KMS.DisabledException":         "the key that encrypts it is disabled: enable it",
		"KMS.NotFoundException":         "the key that encrypts it is not there: correct s3.kmsKey, or encrypt the object again",
		"KMS.KMSInvalidStateException":  "the key that encrypts it cannot be used: cancel its deletion, or enable it",
		"KMS.InvalidKeyUsageException":  "the key is not for encryption: correct s3.kmsKey",
		"EntityTooLarge":                "the object is too large for S3",
		"RestrictedObjectLambda":        "the object is not given as it is: name the bucket, not an access point",
		"AccountProblem":                "the account is closed or unpaid",
		"RequestTimeout":                "S3 has waited for our bytes in vain: check the network",
		"InvalidAccessPointAliasError":  "the name is an alias of no access point: correct it",
		"UnauthorizedAccess":            "the region is not for this account: correct s3.region",
		"ServerSideEncryptionKeyAbsent": "the object has a key of its owner's: encrypt it with KMS or S3's own",
	}}
	where := "the bucket " + bucket + " is in another region than " + region + ": set s3: {region: …} to its own"
	if told != "" {
		where = fmt.Sprintf("the bucket %s is in %s, not in %s: set s3: {region: %s}", bucket, told, region, told)
	}
	for _, code := range elsewhere {
		s.Remedies[code] = where
	}
	return s
}

// note takes down how a call went. That an object is not there, or has changed,
// is no trouble with S3.
func (a *account) note(ctx context.Context, bucket, region, action string, began time.Time, err, failed error) {
	code, _ := answerOf(err)
	if errors.Is(failed, ErrChanged) || errors.Is(failed, ErrNotFound) && code != "NoSuchBucket" {
		err = nil
	}
	a.mu.Lock()
	c := a.conditions[bucket]
	if c == nil {
		s := service(bucket, "*", region, regionTold(err))
		s.Remedies["NoSuchBucket"] = "there is no bucket " + bucket + ": make it, or correct its name"
		c = s.Watch(a.cfg.Log)
		a.conditions[bucket] = c
	}
	a.mu.Unlock()
	c.Note(ctx, action, began, err)
}

func (a *account) asked() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.conditions) > 0
}

func (a *account) condition() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []string
	for _, bucket := range slices.Sorted(maps.Keys(a.conditions)) {
		if wrong := a.conditions[bucket].String(); wrong != "" {
			all = append(all, bucket+": "+wrong)
		}
	}
	return strings.Join(all, "; ")
}

// open opens one version of an object, from its beginning.
func (a *account) open(ctx context.Context, uri, bucket, key string, v Version) (io.ReadCloser, Info, error) {
	body, info, err := a.get(ctx, "open", uri, bucket, key, v, 0, -1)
	if err != nil {
		return nil, Info{}, err
	}
	if v.ID == "" {
		v.ID = info.Version.ID
	}
	v.ETag = info.Version.ETag // the connections after this one must give the same
	return newRemote(ctx, uri, info.Bytes, body, func(ctx context.Context, from, to int64) (io.ReadCloser, error) {
		body, _, err := a.get(ctx, "read", uri, bucket, key, v, from, to)
		return body, err
	}, a.cfg.Patience), info, nil
}

// get asks for the bytes of an object from an offset on, and up to another,
// which is not negative.
func (a *account) get(ctx context.Context, doing, uri, bucket, key string, v Version, from, to int64) (io.ReadCloser, Info, error) {
	input := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	if v.ID != "" {
		input.VersionId = &v.ID
	}
	if v.ETag != "" {
		input.IfMatch = aws.String(`"` + v.ETag + `"`)
	}
	if from > 0 || to >= 0 {
		input.Range = aws.String(span(from, to))
	}
	action := "GetObject"
	if v.ID != "" {
		action = "GetObjectVersion"
	}
	var out *s3.GetObjectOutput
	err := a.call(ctx, doing, uri, bucket, key, action, func(c *s3.Client, in func(*s3.Options)) (err error) {
		out, err = c.GetObject(ctx, input, in)
		return err
	})
	if err != nil {
		return nil, Info{}, err
	}
	return out.Body, Info{URI: uri, Bytes: sized(out.ContentLength), ModTime: aws.ToTime(out.LastModified), Version: answered(out.VersionId, out.ETag)}, nil
}

// stat describes one version of an object.
func (a *account) stat(ctx context.Context, uri, bucket, key string, v Version) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	out, err := a.head(ctx, "look at", uri, bucket, key, v)
	if err != nil {
		return Info{}, err
	}
	return Info{URI: uri, Bytes: sized(out.ContentLength), ModTime: aws.ToTime(out.LastModified), Version: answered(out.VersionId, out.ETag)}, nil
}

func (a *account) head(ctx context.Context, doing, uri, bucket, key string, v Version) (out *s3.HeadObjectOutput, err error) {
	input := &s3.HeadObjectInput{Bucket: &bucket, Key: &key}
	if v.ID != "" {
		input.VersionId = &v.ID
	}
	if v.ETag != "" {
		input.IfMatch = aws.String(`"` + v.ETag + `"`)
	}
	err = a.call(ctx, doing, uri, bucket, key, "GetObject", func(c *s3.Client, in func(*s3.Options)) (err error) {
		out, err = c.HeadObject(ctx, input, in)
		return err
	})
	return out, err
}

// answered is the version of an answer: an ID of "null" is that of a bucket
// without versions, some of whose servers do not know it when they are asked for it.
func answered(id, etag *string) Version {
	v := Version{aws.ToString(id), bare(etag)}
	if v.ID == "null" {
		v.ID = ""
	}
	return v
}

// sized is a length that an answer may lack.
func sized(n *int64) int64 {
	if n == nil {
		return -1
	}
	return *n
}

// bare is an ETag without its quotes.
func bare(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

// span is the range of bytes from one offset on, up to another if that is not
// negative.
func span(from, to int64) string {
	if to < 0 {
		return fmt.Sprintf("bytes=%d-", from)
	}
	return fmt.Sprintf("bytes=%d-%d", from, to-1)
}

// list describes the objects whose keys begin with prefix, by URI. The empty
// objects that stand for folders are left out.
func (a *account) list(ctx context.Context, uri, bucket, prefix string) ([]Info, error) {
	var infos []Info
	_, err := a.each(ctx, uri, bucket, prefix, "", func(o types.Object) {
		key := aws.ToString(o.Key)
		if strings.HasSuffix(key, "/") {
			return
		}
		infos = append(infos, Info{URI: "s3://" + bucket + "/" + key, Bytes: sized(o.Size), ModTime: aws.ToTime(o.LastModified), Version: Version{ETag: bare(o.ETag)}})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.URI, b.URI) })
	return infos, nil
}

// each visits the objects under a prefix, page by page. Those beyond the next
// delimiter, if there is one, are not visited: what they begin with is returned.
func (a *account) each(ctx context.Context, uri, bucket, prefix, delimiter string, visit func(types.Object)) (below []string, err error) {
	input := &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix}
	if delimiter != "" {
		input.Delimiter = &delimiter
	}
	for {
		var out *s3.ListObjectsV2Output
		err := a.call(ctx, "list", uri, bucket, "", "ListBucket", func(c *s3.Client, in func(*s3.Options)) (err error) {
			ctx, cancel := context.WithTimeout(ctx, callTime)
			defer cancel()
			out, err = c.ListObjectsV2(ctx, input, in)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, o := range out.Contents {
			visit(o)
		}
		for _, p := range out.CommonPrefixes {
			below = append(below, aws.ToString(p.Prefix))
		}
		if !aws.ToBool(out.IsTruncated) || out.NextContinuationToken == nil {
			return below, nil
		}
		input.ContinuationToken = out.NextContinuationToken
	}
}

// remove removes an object. One that is not there is removed already.
func (a *account) remove(ctx context.Context, uri, bucket, key string) error {
	return a.call(ctx, "remove", uri, bucket, key, "DeleteObject", func(c *s3.Client, in func(*s3.Options)) error {
		ctx, cancel := context.WithTimeout(ctx, callTime)
		defer cancel()
		_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}, in)
		return err
	})
}
