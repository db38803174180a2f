// Package wire calls any action of an AWS service by its API model: parameters in
// JSON go in, named as Step Functions names them, and the answer comes out so.
//
//	out, err := client.Call(ctx, wire.Request{Service: "s3", Action: "getObject", Params: params})
//
// It promises: every request is signed with the SDK's signer, sent by its HTTP
// client, and tried again by its rules; AWS_ENDPOINT_URL and
// AWS_ENDPOINT_URL_SERVICE are kept to; what the model does not know is refused
// before anything is sent ([ParameterError]); what AWS refuses is an [Error] with
// its code and words.
//
// The models are AWS's own, of which the folder models holds what is needed;
// models/cut.py makes it. Bytes are text where they are UTF-8, else base64. What
// errors are called in a state machine, and whether a call may be made at all, is
// left to others (package tasks), and deadlines to the caller's context.
package wire

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A Client calls AWS. It is safe for concurrent use.
type Client struct {
	load func(ctx context.Context, role string) (aws.Config, error)

	mu    sync.Mutex
	roles map[string]*session // guarded by mu; by role and service
}

// A session is one service as one role.
type session struct {
	with  aws.Config
	retry aws.RetryerV2
}

// New makes a client of what load gives for a role; an empty one is the daemon's
// own.
func New(load func(ctx context.Context, role string) (aws.Config, error)) *Client {
	return &Client{load: load, roles: map[string]*session{}}
}

// Known reports whether there is a model of a service, and in it an action.
func Known(service, action string) (serviceKnown, actionKnown bool) {
	m := models()[service]
	if m == nil {
		return false, false
	}
	_, ok := m.Operations[action]
	return true, ok
}

// Check says what is wrong with the parameters of an action, as a
// [ParameterError]; nil where nothing is, or the action is not known.
func Check(service, action string, params value.Value) error {
	m := models()[service]
	if m == nil {
		return nil
	}
	op, ok := m.Operations[action]
	if !ok {
		return nil
	}
	_, err := m.encode(op, params)
	return err
}

// Services are those that there is a model of, in order.
func Services() []string { return slices.Sorted(maps.Keys(models())) }

// Actions are those of a service, in order.
func Actions(service string) []string {
	if m := models()[service]; m != nil {
		return slices.Sorted(maps.Keys(m.Operations))
	}
	return nil
}

// ID is what the SDKs call a service: Secrets Manager.
func ID(service string) string {
	if m := models()[service]; m != nil {
		return m.ID
	}
	return service
}

// A Request is one call.
type Request struct {
	Service, Action string
	Role            string // ARN of a role to assume; empty: the daemon's own
	Params          value.Value
	// Body, where it is not nil, is sent in the place of the member that is the
	// whole body, which Params must not have.
	Body []byte
	// Host, where it is not empty, is a URL whose host is called where no endpoint is
	// configured.
	Host   string
	Region string // in the place of the configuration's, where it is not empty
	Millis bool   // times of the answer are numbers
}

// A Response is what a service answers.
type Response struct {
	Output    value.Value
	Status    int
	Header    http.Header
	RequestID string
	Body      []byte // as it came
}

// An Error is what a service answers that did not do what was asked. It is an
// APIError of the SDK's.
type Error struct {
	Code      string // as it came: NoSuchKey
	Exception string // of the model; empty where that has none for it
	Message   string
	Status    int
	RequestID string
	Extended  string // S3's second ID of the request
	Attempts  int    // so many times was it asked
}

func (e *Error) Error() string        { return fmt.Sprintf("%s: %s", e.Code, e.Message) }
func (e *Error) ErrorCode() string    { return e.Code }
func (e *Error) ErrorMessage() string { return e.Message }
func (e *Error) HTTPStatusCode() int  { return e.Status }
func (e *Error) ErrorFault() smithy.ErrorFault {
	if e.Status >= 500 {
		return smithy.FaultServer
	}
	return smithy.FaultClient
}

// ErrLarge says that an answer is longer than any state may be.
var ErrLarge = fmt.Errorf("the answer has more than %d bytes", largest)

// largest is how much is read of an answer: more than a state may have, and
// Lambda's most.
const largest = 6 << 20

// Call makes a call. The error is a [ParameterError], an [Error], [ErrLarge], one
// of ctx, or says why the service was not reached.
func (c *Client) Call(ctx context.Context, r Request) (*Response, error) {
	m := models()[r.Service]
	if m == nil {
		return nil, fmt.Errorf("there is no model of %s (have %s)", r.Service, strings.Join(Services(), ", "))
	}
	op, ok := m.Operations[r.Action]
	if !ok {
		return nil, fmt.Errorf("%s has no action %s", r.Service, r.Action)
	}
	out, err := m.encode(op, r.Params)
	if err != nil {
		return nil, err
	}
	if r.Body != nil {
		out.body = r.Body
	}
	s, err := c.session(ctx, r.Role, r.Service)
	if err != nil {
		return nil, err
	}
	with := s.with
	with.Region = cmp.Or(r.Region, with.Region)
	base, given, err := endpoint(ctx, with, m, r.Host)
	if err != nil {
		return nil, err
	}
	if m.ID == "S3" {
		base, out.path = addressed(base, given, out)
	}
	if op.Checksum && out.header.Get("X-Amz-Sdk-Checksum-Algorithm") == "" {
		sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(out.body))
		out.header.Set("X-Amz-Sdk-Checksum-Algorithm", "CRC32")
		out.header.Set("X-Amz-Checksum-Crc32", base64.StdEncoding.EncodeToString(sum))
	}
	read := &reader{m: m, millis: r.Millis}
	return s.try(ctx, func(ctx context.Context) (*Response, error) {
		resp, body, err := send(ctx, with, m, base, out)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode < 200 || resp.StatusCode > 299 {
			return nil, m.failure(op, resp, body)
		}
		if len(body) > largest {
			return nil, ErrLarge
		}
		answer := &Response{Status: resp.StatusCode, Header: resp.Header, RequestID: requestID(resp.Header), Body: body}
		answer.Output, err = read.decode(op, resp.StatusCode, resp.Header, body)
		return answer, err
	})
}

// session is a service as a role.
func (c *Client) session(ctx context.Context, role, service string) (*session, error) {
	key := role + " " + service
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.roles[key]; s != nil {
		return s, nil
	}
	with, err := c.load(ctx, role)
	if err != nil {
		return nil, err
	}
	if with.Region == "" {
		return nil, errors.New("there is no region: set AWS_REGION")
	}
	s := &session{with: with, retry: retry.NewStandard(func(o *retry.StandardOptions) {
		if with.RetryMaxAttempts > 0 {
			o.MaxAttempts = with.RetryMaxAttempts
		}
	})}
	c.roles[key] = s
	return s, nil
}

// try makes a call until it is answered, by the SDK's rules.
func (s *session) try(ctx context.Context, call func(context.Context) (*Response, error)) (*Response, error) {
	release, err := s.retry.GetAttemptToken(ctx)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		out, err := call(ctx)
		release(err)
		if err == nil {
			return out, nil
		}
		if e := (*Error)(nil); errors.As(err, &e) {
			e.Attempts = attempt
		}
		if ctx.Err() != nil || attempt >= s.retry.MaxAttempts() || !s.retry.IsErrorRetryable(err) {
			return nil, err
		}
		delay, unpaced := s.retry.RetryDelay(attempt, err)
		next, exhausted := s.retry.GetRetryToken(ctx, err)
		if unpaced != nil || exhausted != nil {
			return nil, err
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		}
		release = next
	}
}

// configured is what the SDK's environment and its profile tell of endpoints.
type configured interface {
	GetServiceBaseEndpoint(ctx context.Context, sdkID string) (string, bool, error)
}

// Endpoint is the one that is configured for a service, or for all; empty: none.
func Endpoint(ctx context.Context, with aws.Config, sdkID string) (string, error) {
	for _, source := range with.ConfigSources {
		if c, ok := source.(configured); ok {
			if found, ok, err := c.GetServiceBaseEndpoint(ctx, sdkID); err != nil || ok {
				return found, err
			}
		}
	}
	return aws.ToString(with.BaseEndpoint), nil
}

// endpoint is where a service is; given, if that is configured.
func endpoint(ctx context.Context, with aws.Config, m *model, host string) (base *url.URL, given bool, err error) {
	text, err := Endpoint(ctx, with, m.ID)
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("endpoint of %s: %w", m.ID, err)
	case text != "":
		given = true
	case host != "":
		u, err := url.Parse(host)
		if err != nil || u.Host == "" {
			return nil, false, fmt.Errorf("%q is not a URL", host)
		}
		text = u.Scheme + "://" + u.Host
	default:
		domain := "amazonaws.com"
		if strings.HasPrefix(with.Region, "cn-") {
			domain += ".cn"
		}
		text = "https://" + m.Host + "." + with.Region + "." + domain
		if m.ID == "S3" && with.Region == "us-east-1" {
			text = "https://s3.amazonaws.com"
		}
	}
	base, err = url.Parse(text)
	if err == nil && base.Host == "" {
		err = fmt.Errorf("%q is not a URL", text)
	}
	if err != nil {
		err = fmt.Errorf("endpoint of %s: %w", m.ID, err)
	}
	return base, given, err
}

// plainBucket is a bucket that may be a part of a host's name.
var plainBucket = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

// addressed puts the bucket of a request to S3 into the host, where that may be.
func addressed(base *url.URL, given bool, out message) (*url.URL, string) {
	if given || !plainBucket.MatchString(out.bucket) {
		return base, out.path
	}
	u := *base
	u.Host = out.bucket + "." + u.Host
	path := strings.TrimPrefix(out.path, "/"+out.bucket)
	if path == "" {
		path = "/"
	}
	return &u, path
}

// send signs and sends one request.
func send(ctx context.Context, with aws.Config, m *model, base *url.URL, out message) (*http.Response, []byte, error) {
	u := *base
	u.RawPath = strings.TrimRight(u.EscapedPath(), "/") + out.path
	plain, err := url.PathUnescape(u.RawPath)
	if err != nil {
		return nil, nil, fmt.Errorf("path of %s: %w", m.ID, err)
	}
	u.Path = plain
	u.RawQuery = strings.ReplaceAll(out.query.Encode(), "+", "%20")
	req, err := http.NewRequestWithContext(ctx, out.method, u.String(), bytes.NewReader(out.body))
	if err != nil {
		return nil, nil, err
	}
	if len(out.body) == 0 {
		req.Body, req.GetBody, req.ContentLength = http.NoBody, nil, 0
	}
	req.Header = out.header.Clone()
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "anneal")
	sum := sha256.Sum256(out.body)
	hash := hex.EncodeToString(sum[:])
	if m.ID == "S3" {
		req.Header.Set("X-Amz-Content-Sha256", hash)
	}
	if err := Sign(ctx, with, req, hash, m.Signing); err != nil {
		return nil, nil, err
	}
	resp, err := with.HTTPClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, largest+1))
	return resp, body, err
}

// Sign signs a request as the identity of a configuration. hash is the SHA-256
// of the body, in hex.
func Sign(ctx context.Context, with aws.Config, req *http.Request, hash, service string) error {
	if with.Credentials == nil {
		return errors.New("there are no credentials")
	}
	identity, err := with.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("get credentials: %w", err)
	}
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" }).
		SignHTTP(ctx, identity, req, hash, service, with.Region, time.Now())
}

func requestID(h http.Header) string {
	for _, name := range []string{"X-Amzn-Requestid", "X-Amz-Request-Id"} {
		if id := h.Get(name); id != "" {
			return id
		}
	}
	return ""
}

// failure reads what a service answers that did not do what was asked.
func (m *model) failure(op operation, resp *http.Response, body []byte) *Error {
	e := &Error{Status: resp.StatusCode, RequestID: requestID(resp.Header), Extended: resp.Header.Get("X-Amz-Id-2")}
	if strings.HasSuffix(m.Protocol, "json") {
		v, _ := value.Parse(body) // its zero value has no members
		first := func(names ...string) string {
			for _, name := range names {
				if x, ok := v.Find(name); ok && x.Kind() == value.String {
					return x.Text()
				}
			}
			return ""
		}
		e.Code, e.Message = resp.Header.Get("X-Amzn-Errortype"), first("message", "Message", "errorMessage")
		if e.Code == "" {
			e.Code = first("__type", "code", "Code")
		}
		e.Code = e.Code[strings.LastIndexByte(e.Code, '#')+1:]
		e.Code, _, _ = strings.Cut(e.Code, ":")
		e.Exception = m.exception(op, e.Code)
		if old, _, _ := strings.Cut(resp.Header.Get("X-Amzn-Query-Error"), ";"); old != "" {
			e.Code = old // by which the SDKs of the time knew it
		}
	} else if root, err := parseXML(body); err == nil {
		inner := root
		if x := root.child("Error"); x != nil {
			inner = x
		}
		for of, to := range map[string]*string{"Code": &e.Code, "Message": &e.Message} {
			if x := inner.child(of); x != nil {
				*to = x.text
			}
		}
		for _, x := range []*element{root.child("RequestId"), root.child("RequestID")} {
			if x != nil && e.RequestID == "" {
				e.RequestID = x.text
			}
		}
		e.Exception = m.exception(op, e.Code)
	}
	if e.Code == "" { // an answer to HEAD has no body
		e.Code = strings.ReplaceAll(http.StatusText(e.Status), " ", "")
		if op.Method == http.MethodHead && e.Status == http.StatusNotFound {
			e.Code = map[string]string{"HeadObject": "NoSuchKey", "HeadBucket": "NoSuchBucket"}[op.Name]
			e.Exception = m.exception(op, e.Code)
		}
	}
	return e
}
