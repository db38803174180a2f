package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// invocation is the path at which the Lambda runtime interface emulator takes
// calls.
const invocation = "/2015-03-31/functions/function/invocations"

// An HTTP is where a function answers as the Lambda runtime interface emulator
// does.
type HTTP struct {
	// URL is http:// or https://. Without a path, that of the emulator is used.
	URL     string
	Headers map[string]string // added to the request
}

// endpoint is where the function is called.
func (h HTTP) endpoint() (string, error) {
	u, err := url.Parse(h.URL)
	switch {
	case err != nil:
		return "", err
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", fmt.Errorf("%q is not an http:// or https:// URL", h.URL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = invocation
	}
	return u.String(), nil
}

// callHTTP posts the payload. A call that a daemon did not see the end of is
// made again.
func (t *Tasks) callHTTP(ctx context.Context, e asl.Effect, f Function, payload json.RawMessage) (asl.Outcome, error) {
	timeout, cancel := context.WithTimeout(ctx, f.timeout())
	defer cancel()
	outcome, err := t.post(timeout, e, f, payload)
	var timedOut net.Error
	switch {
	case err == nil:
		return outcome, nil
	case ctx.Err() != nil:
		return asl.Outcome{}, ctx.Err()
	case timeout.Err() != nil || errors.As(err, &timedOut) && timedOut.Timeout():
		return functionError(e, "Sandbox.Timedout", fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", requestID("request", e.ID), f.timeout().Seconds())), nil
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the URL may have a secret in it
	}
	return asl.Outcome{Error: "Lambda.SdkClientException", Cause: "Unable to execute HTTP request: " + err.Error()}, nil
}

func (t *Tasks) post(ctx context.Context, e asl.Effect, f Function, payload json.RawMessage) (asl.Outcome, error) {
	endpoint, err := f.HTTP.endpoint()
	if err != nil {
		return asl.Outcome{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(payload))
	if err != nil {
		return asl.Outcome{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Amzn-RequestId", requestID("request", e.ID))
	req.Header.Set("Anneal-Effect-Id", e.ID)
	for name, value := range f.HTTP.Headers {
		req.Header.Set(name, value)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return asl.Outcome{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, largestResult+1))
	switch {
	case err != nil:
		return asl.Outcome{}, err
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return httpError(e, resp.StatusCode, body), nil
	case len(body) > largestResult:
		return functionError(e, "Function.ResponseSizeTooLarge", fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", largestResult)), nil
	}
	if o, failed := functionFailure(resp.Header, body); failed {
		return o, nil
	}
	if body = bytes.TrimSpace(body); len(body) == 0 {
		body = []byte("null")
	}
	if !json.Valid(body) {
		return functionError(e, "Runtime.MarshalError", fmt.Sprintf("the response is not one JSON value: %.200q", body)), nil
	}
	return asl.Outcome{Output: body}, nil
}

// functionFailure says whether a function itself failed. Lambda says so in a
// header, the emulator in the body alone. Of a failure without a type Step Functions
// says that it does not know more.
func functionFailure(header http.Header, body []byte) (o asl.Outcome, failed bool) {
	var said map[string]json.RawMessage
	var name string
	if json.Unmarshal(body, &said) == nil {
		json.Unmarshal(said["errorType"], &name) // stays empty where it is no string
	}
	o = asl.Outcome{Error: name, Cause: strings.TrimSpace(string(body))}
	if header.Get("X-Amz-Function-Error") != "" {
		if name == "" {
			o = asl.Outcome{Error: "Lambda.Unknown", Cause: "The cause could not be determined because Lambda did not return an error type. Returned payload: " + o.Cause}
		}
		return o, true
	}
	for key := range said {
		switch key {
		case "errorType", "errorMessage", "requestId", "stackTrace", "trace", "cause":
		default:
			return o, false // a result that tells of an error
		}
	}
	_, message := said["errorMessage"]
	return o, name != "" && message
}

// httpError is what Lambda's own refusals are called.
func httpError(e asl.Effect, status int, body []byte) asl.Outcome {
	exception := map[int]string{
		http.StatusBadRequest:            "InvalidRequestContentException",
		http.StatusForbidden:             "AccessDeniedException",
		http.StatusNotFound:              "ResourceNotFoundException",
		http.StatusConflict:              "ResourceConflictException",
		http.StatusRequestEntityTooLarge: "RequestTooLargeException",
		http.StatusTooManyRequests:       "TooManyRequestsException",
	}[status]
	switch {
	case exception == "" && status >= 500:
		exception = "ServiceException"
	case exception == "":
		exception = "AWSLambdaException"
	}
	message := strings.ToValidUTF8(string(body[:min(len(body), 1024)]), "\uFFFD")
	if message = strings.TrimSpace(message); message == "" {
		message = http.StatusText(status)
	}
	return awsError("Lambda", exception, message, "AWSLambda", status, exception, e.ID)
}
