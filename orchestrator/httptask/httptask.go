// Package httptask calls HTTPS APIs as an HTTP Task of Step Functions does
// (arn:aws:states:::http:invoke).
//
//	call, problem := httptask.Parse(parameters)
//	outcome, err := client.Do(ctx, call, connection, nil)
//
// It promises: a request that may change something is sent once, or once more where
// its access token was refused with 401 or 407; it ends within [Timeout]; no redirect
// is followed; nothing is sent where the [Egress] does not allow it, whatever a name resolves to; what a
// connection adds is in no error and in no [Exchange] that does not reveal it.
// Results, names of errors and merging are those of AWS ("Call HTTPS APIs in Step
// Functions workflows" of the developer guide).
//
// It leaves to others which connection a name stands for, and whether a call that
// was lost is made again (package tasks).
package httptask

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// Timeout is how long a call may take, with the access token that it needs.
const Timeout = time.Minute

// The names of errors.
const (
	ErrSocket     = "States.Http.Socket"         // there is no answer
	ErrDenied     = "States.Http.AccessDenied"   // the call is not allowed
	StatusErr     = "States.Http.StatusCode."    // before any status but 2xx
	ConnectionErr = "Events.ConnectionResource." // before what is wrong with a connection
)

// ErrLarge says that an answer has more than a state may have.
var ErrLarge = fmt.Errorf("the answer has more than %d bytes", asl.MaxData)

// A Client makes calls. It is safe for concurrent use.
type Client struct {
	// Region is told to those who are called, in the User-Agent.
	Region string
	// Timeout is as [Timeout] if zero.
	Timeout time.Duration
}

// Do makes a call by a connection. How it went is told to see, if that is not nil.
// The error is [ErrLarge] or ctx's.
func (c *Client) Do(ctx context.Context, call Call, by *Connection, see *Exchange) (asl.Outcome, error) {
	m, problem := call.merge(by)
	if problem != "" {
		return asl.Outcome{Error: asl.ErrRuntime, Cause: problem}, nil
	}
	if err := by.egress.allows(m.url); err != nil {
		return asl.Outcome{Error: ErrDenied, Cause: err.Error()}, nil
	}
	limit := cmp.Or(c.Timeout, Timeout)
	calling, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for again := by.OAuth != nil; ; again = false {
		var token string
		if by.OAuth != nil {
			var failed *asl.Outcome
			if token, failed = by.tokens.token(calling, by); failed != nil {
				if ctx.Err() != nil {
					return asl.Outcome{}, ctx.Err()
				}
				return *failed, nil
			}
		}
		req, err := c.request(calling, m, by, token)
		if err != nil {
			return asl.Outcome{Error: asl.ErrRuntime, Cause: err.Error()}, nil
		}
		see.sent(req, m)
		resp, err := by.client.Do(req)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(io.LimitReader(resp.Body, asl.MaxData+1))
			resp.Body.Close()
			see.received(resp, body)
		}
		switch {
		case ctx.Err() != nil:
			return asl.Outcome{}, ctx.Err()
		case resp != nil && (resp.StatusCode < 200 || resp.StatusCode > 299):
			if refused := resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusProxyAuthRequired; refused && by.OAuth != nil {
				if by.tokens.drop(calling, token); again {
					continue
				}
			}
			// The body is not told, as AWS does not.
			return asl.Outcome{Error: StatusErr + strconv.Itoa(resp.StatusCode), Cause: reason(resp.StatusCode)}, nil
		case err != nil || calling.Err() != nil: // a server ends its answer, too, when it is hung up on
			return unanswered(calling, err, limit), nil
		}
		return result(call.Method, resp, body)
	}
}

// request is what is sent.
func (c *Client) request(ctx context.Context, m merged, by *Connection, token string) (*http.Request, error) {
	var body io.Reader
	if m.body != nil {
		body = strings.NewReader(*m.body)
	}
	req, err := http.NewRequestWithContext(ctx, m.method, m.url.String(), body)
	if err != nil {
		return nil, errors.New("the request cannot be made")
	}
	for _, h := range m.headers {
		req.Header.Add(h.Name, h.Value)
	}
	if m.body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json; charset=UTF-8")
	}
	switch {
	case by.Basic != nil:
		req.SetBasicAuth(by.Basic.Username, by.Basic.Password)
	case by.APIKey != nil:
		req.Header.Set(by.APIKey.Name, by.APIKey.Value)
	case by.OAuth != nil:
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("User-Agent", "Amazon|StepFunctions|HttpInvoke|"+cmp.Or(c.Region, "us-east-1"))
	req.Header.Set("Range", fmt.Sprintf("bytes=0-%d", asl.MaxData))
	return req, nil
}

// reason is the text of a status. AWS has none for 418.
func reason(status int) string {
	if status == http.StatusTeapot {
		return ""
	}
	return http.StatusText(status)
}

// unanswered is a call that nobody answered.
func unanswered(calling context.Context, err error, limit time.Duration) asl.Outcome {
	var timeout net.Error
	var denied *deniedError
	switch {
	case errors.As(err, &denied):
		return asl.Outcome{Error: ErrDenied, Cause: denied.Error()}
	case calling.Err() != nil || errors.As(err, &timeout) && timeout.Timeout():
		return asl.Outcome{Error: ErrSocket, Cause: fmt.Sprintf("The HTTP request timed out after %g seconds", limit.Seconds())}
	}
	return asl.Outcome{Error: ErrSocket, Cause: "The HTTP request failed: " + bare(err)}
}

// bare is an error without the URL, which may have a secret in it.
func bare(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return strings.ToValidUTF8(err.Error(), "\uFFFD")
}

// result is the answer of a call that went well, as a state gets it.
func result(method string, resp *http.Response, body []byte) (asl.Outcome, error) {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	family, _, _ := strings.Cut(kind, "/")
	switch {
	case len(body) > 0 && (kind == "application/octet-stream" || slices.Contains([]string{"image", "video", "audio"}, family)):
		return asl.Outcome{Error: asl.ErrRuntime, Cause: "Unsupported response content-type '" + kind + "'. Please see documentation for list of unsupported content-types."}, nil
	case len(body) > asl.MaxData:
		return asl.Outcome{}, ErrLarge
	case !utf8.Valid(body):
		return asl.Outcome{Error: asl.ErrRuntime, Cause: "The response is not a valid string"}, nil
	}
	members := []value.Member{{Key: "Headers", Value: headers(resp)}}
	if len(body) > 0 && method != http.MethodHead {
		v := value.OfString(string(body))
		if kind == "application/json" || strings.HasSuffix(kind, "+json") {
			if parsed, err := value.Parse(bytes.TrimPrefix(body, []byte("\uFEFF"))); err == nil {
				v = parsed
			}
		}
		members = append(members, value.Member{Key: "ResponseBody", Value: v})
	}
	members = append(members,
		value.Member{Key: "StatusCode", Value: value.OfInt(int64(resp.StatusCode))},
		value.Member{Key: "StatusText", Value: value.OfString(reason(resp.StatusCode))})
	return asl.Outcome{Output: json.RawMessage(value.OfObject(members...).Append(nil))}, nil
}

// headers are those of an answer, each a list. Over HTTP/2 their names are small, as
// they are sent; over HTTP/1.1 they are in the form that most servers give them.
func headers(resp *http.Response) value.Value {
	var all []value.Member
	for _, name := range sortedKeys(resp.Header) {
		var values []value.Value
		for _, v := range resp.Header[name] {
			values = append(values, value.OfString(strings.ToValidUTF8(v, "\uFFFD")))
		}
		all = append(all, value.Member{Key: spelled(resp, name), Value: value.OfArray(values)})
	}
	return value.OfObject(all...)
}

func spelled(resp *http.Response, name string) string {
	if resp.ProtoMajor > 1 {
		return strings.ToLower(name)
	}
	return name
}
