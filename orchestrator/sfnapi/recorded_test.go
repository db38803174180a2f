package sfnapi_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A recordedTask is a task that AWS recorded, with what the service answered.
type recordedTask struct {
	Resource  string `json:"resource"`
	Kind      string `json:"resourceType"`
	Input     any    `json:"input"`
	Outcome   string `json:"outcome"`
	Output    any    `json:"output"`
	Submitted any    `json:"submitted_output"`
	Error     string `json:"error"`
	Cause     any    `json:"cause"`

	Correlation string `json:"correlation"` // approximate: it may be another's

	used bool
}

// A recordedCloud is AWS as one recording knew it: it speaks the wire of the services,
// and answers what they answered then. Calls of Step Functions are the API's own.
type recordedCloud struct {
	api     func(ctx context.Context, operation string, body []byte) (int, []byte)
	objects map[string][]byte // by /bucket/key
	// handlers are the files of functions, by name, and around what was set up, where
	// an answer was not recorded.
	handlers map[string]string
	around   []string
	buckets  map[string]bool

	mu    sync.Mutex
	tasks []*recordedTask
	tells map[string]func() // guarded by mu; what whoever got a token does, by token; nil: it was handed over
}

func (c *recordedCloud) serve() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(c.answer))
}

// take is the recorded task that is most like a call; nil where there is none.
func (c *recordedCloud) take(service, action string, sent map[string]any) *recordedTask {
	c.mu.Lock()
	defer c.mu.Unlock()
	var best *recordedTask
	most := -1
	for _, t := range c.tasks {
		in, _ := t.Input.(map[string]any)
		name, _, _ := strings.Cut(t.Resource, ".")
		function := strings.HasPrefix(t.Resource, "arn:aws:lambda") && service == "lambda"
		if t.used || t.Correlation == "approximate" && t.Outcome == "none" || !function && (strings.TrimPrefix(t.Kind, "aws-sdk:") != service || !strings.EqualFold(name, action)) {
			continue
		}
		if named, ok := in["FunctionName"].(string); ok && !function && named != text(sent["FunctionName"]) {
			continue
		}
		score := 0
		if function && strings.HasSuffix(text(sent["FunctionName"]), t.Resource[strings.LastIndex(t.Resource, ":"):]) {
			score += 10
		}
		for k, v := range sent {
			if cmp.Equal(norm(v), norm(in[k])) {
				score++
			}
		}
		if score > most {
			best, most = t, score
		}
	}
	if best == nil {
		return nil
	}
	best.used = true
	return best
}

// norm has JSON in text as what it says.
func norm(v any) any { return loose(v) }

var serviceError = regexp.MustCompile(`(?s)^(.*?) \(Service: [^;,]+[;,] Status Code: (\d+)(?:[;,] Error Code: ([\w.]+))?`)

// failure is what a service answered that failed.
func (t *recordedTask) failure() (status int, code, message string, ok bool) {
	cause, _ := t.Cause.(string)
	m := serviceError.FindStringSubmatch(cause)
	if t.Outcome != "failed" || m == nil {
		return 0, "", "", false
	}
	fmt.Sscan(m[2], &status)
	code = m[3]
	if code == "" {
		code = t.Error[strings.IndexByte(t.Error, '.')+1:]
		code = map[string]string{"NoSuchKeyException": "NoSuchKey", "NoSuchBucketException": "NoSuchBucket", "InvalidTokenException": "InvalidToken"}[code] + map[bool]string{true: code}[!strings.HasPrefix(code, "NoSuch") && code != "InvalidTokenException"]
	}
	return status, code, m[1], true
}

var masked = regexp.MustCompile(`<[A-Za-z][\w.\-]*(?::\d+)?>`)

// told is a recorded answer with something in the place of what is masked.
func told(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if k != "SdkHttpMetadata" && k != "SdkResponseMetadata" {
				out[k] = told(x)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = told(x)
		}
		return out
	case string:
		return masked.ReplaceAllStringFunc(v, func(name string) string {
			h := md5.Sum([]byte(name))
			return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:])
		})
	}
	return v
}

var invoked = regexp.MustCompile(`^/2015-03-31/functions/(.*)/invocations$`)

func (c *recordedCloud) answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Amzn-Requestid", "11111111-2222-3333-4444-555555555555")
	target := r.Header.Get("X-Amz-Target")
	host := r.Host
	switch m := invoked.FindStringSubmatch(r.URL.Path); {
	case strings.Contains(host, ".execute-api."):
		c.gateway(w, r, body)
	case m != nil:
		c.invoke(w, r, m[1], body)
	case strings.HasPrefix(target, "AWSStepFunctions."):
		status, out := c.api(r.Context(), strings.TrimPrefix(target, "AWSStepFunctions."), body)
		w.WriteHeader(status)
		w.Write(out)
	case target != "":
		prefix, action, _ := strings.Cut(target, ".")
		service := map[string]string{"AmazonSQS": "sqs", "AWSEvents": "events", "DynamoDB_20120810": "dynamodb"}[prefix]
		if service == "" {
			service = strings.ToLower(prefix)
		}
		var sent map[string]any
		decode(body, &sent)
		c.json(w, service, action, sent)
	case strings.Contains(r.Header.Get("Content-Type"), "form"):
		c.query(w, body)
	default:
		c.object(w, r, body)
	}
}

func decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(into)
}

func (c *recordedCloud) invoke(w http.ResponseWriter, r *http.Request, function string, body []byte) {
	sent := map[string]any{"FunctionName": function}
	var payload any
	if decode(body, &payload) == nil {
		sent["Payload"] = payload
		if m, ok := payload.(map[string]any); ok {
			for k, v := range m {
				sent[k] = v
			}
		}
	}
	t := c.take("lambda", "invoke", sent)
	switch {
	case t == nil:
		w.Header().Set("X-Amz-Executed-Version", "$LATEST")
		switch handler := c.handlers[function[strings.LastIndexByte(function, ':')+1:]]; {
		case strings.HasPrefix(handler, "id_"):
			w.Write(body)
		case strings.Contains(handler, "sleep") || strings.Contains(handler, "wait") || strings.Contains(handler, "timeout"):
			<-r.Context().Done()
		case handler == "raise_exception.py":
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			io.WriteString(w, `{"errorMessage":"Some exception was raised.","errorType":"Exception","requestId":"11111111-2222-3333-4444-555555555557","stackTrace":["  File \"/var/task/handler.py\", line 2, in handler\n    raise Exception(\"Some exception was raised.\")\n"]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
		return
	case t.Outcome == "timed_out" || t.Outcome == "none":
		<-r.Context().Done()
		return
	}
	if status, code, message, ok := t.failure(); ok {
		w.Header().Set("X-Amzn-Errortype", code)
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"Message": message})
		return
	}
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	answer := t.Output
	if t.Outcome == "failed" {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		if answer = t.Cause; t.Error == "States.DataLimitExceeded" {
			w.Header().Del("X-Amz-Function-Error")
			answer = strings.Repeat("é", 200_000)
		}
	} else if out, ok := answer.(map[string]any); ok && t.Kind == "lambda" {
		answer = out["Payload"]
		if out["LogResult"] != nil {
			w.Header().Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString([]byte("END")))
		}
	}
	data, _ := json.Marshal(told(answer))
	w.Write(data)
}

func (c *recordedCloud) json(w http.ResponseWriter, service, action string, sent map[string]any) {
	t := c.take(service, action, sent)
	if t == nil && service == "sqs" { // a queue behind which somebody answers
		var message map[string]any
		decode([]byte(text(sent["MessageBody"])), &message)
		done := &recordedTask{Outcome: "succeeded", Output: message["Message"]}
		if slices.Contains(c.around, "sqs_send_task_failure_state_machine") {
			done = &recordedTask{Outcome: "failed", Error: "Failure error", Cause: "Failure cause"}
		}
		c.callback(done, text(sent["MessageBody"]))
		io.WriteString(w, `{"MessageId":"11111111-2222-3333-4444-555555555556"}`)
		return
	}
	if t == nil {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"NotRecorded"}`)
		return
	}
	if status, code, message, ok := t.failure(); ok {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
		return
	}
	answer := t.Output
	if t.Submitted != nil {
		answer = t.Submitted
		c.callback(t, text(sent["MessageBody"]))
	} else if service == "events" && t.Outcome == "failed" {
		answer = t.Cause
	}
	data, _ := json.Marshal(told(answer))
	w.Write(data)
}

func (c *recordedCloud) query(w http.ResponseWriter, body []byte) {
	form, _ := url.ParseQuery(string(body))
	action := form.Get("Action")
	if action == "AssumeRole" {
		fmt.Fprintf(w, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>B</SecretAccessKey><SessionToken>C</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		return
	}
	t := c.take("sns", action, map[string]any{"TopicArn": form.Get("TopicArn"), "Message": form.Get("Message")})
	if t == nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if status, code, message, ok := t.failure(); ok {
		w.WriteHeader(status)
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>`, code)
		xml.EscapeText(w, []byte(message))
		io.WriteString(w, `</Message></Error></ErrorResponse>`)
		return
	}
	if t.Submitted != nil {
		c.callback(t, form.Get("Message"))
	}
	fmt.Fprint(w, `<PublishResponse><PublishResult><MessageId>11111111-2222-3333-4444-555555555556</MessageId></PublishResult></PublishResponse>`)
}

// handedOver has whoever got a task's token tell of it.
func (c *recordedCloud) handedOver(token string) {
	c.mu.Lock()
	tell := c.tells[token]
	c.tells[token] = nil
	c.mu.Unlock()
	if tell != nil {
		tell()
	}
}

// callback is whoever got a task's token.
func (c *recordedCloud) callback(t *recordedTask, message string) {
	var body any
	decode([]byte(message), &body)
	token := tokenIn(body)
	action, params := "SendTaskSuccess", object{"taskToken": token}
	switch t.Outcome {
	case "succeeded":
		data, _ := json.Marshal(told(withToken(t.Output, token)))
		params["output"] = string(data)
	case "failed":
		action = "SendTaskFailure"
		if t.Error != "" {
			params["error"] = t.Error
		}
		if cause, ok := t.Cause.(string); ok {
			params["cause"] = cause
		}
	default:
		return
	}
	data, _ := json.Marshal(params)
	c.mu.Lock()
	defer c.mu.Unlock()
	tell := func() { c.api(context.Background(), action, data) }
	if _, done := c.tells[token]; done {
		go tell()
		return
	}
	c.tells[token] = tell
}

// withToken has the token where the recording hides it.
func withToken(v any, token string) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[k] = withToken(x, token)
		}
		return out
	case string:
		if strings.Contains(strings.ToLower(v), "token") && masked.MatchString(v) {
			return token
		}
	}
	return v
}

func tokenIn(v any) string {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if s, ok := x.(string); ok && strings.Contains(strings.ToLower(k), "token") {
				return s
			}
		}
		for _, x := range v {
			if s := tokenIn(x); s != "" {
				return s
			}
		}
	}
	return ""
}

func (c *recordedCloud) object(w http.ResponseWriter, r *http.Request, body []byte) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	c.mu.Lock()
	data, there := c.objects[r.URL.Path]
	known := c.buckets[bucket]
	c.mu.Unlock()
	w.Header().Set("X-Amz-Id-2", "extended")
	w.Header().Set("X-Amz-Request-Id", "request")
	etag := func(data []byte) string { sum := md5.Sum(data); return `"` + hex.EncodeToString(sum[:]) + `"` }
	switch {
	case !known:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>`)
	case r.Method == http.MethodPut && key != "":
		w.Header().Set("ETag", etag(body))
		w.Header().Set("X-Amz-Server-Side-Encryption", "AES256")
		w.Header().Set("X-Amz-Checksum-Crc32", r.Header.Get("X-Amz-Checksum-Crc32"))
		w.Header().Set("X-Amz-Checksum-Type", "FULL_OBJECT")
	case r.Method == http.MethodGet && there:
		w.Header().Set("ETag", etag(data))
		w.Header().Set("X-Amz-Server-Side-Encryption", "AES256")
		w.Header().Set("Accept-Ranges", "bytes")
		w.Header().Set("Content-Type", "binary/octet-stream")
		w.Header().Set("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
		w.Write(data)
	default:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>`)
	}
}

func (c *recordedCloud) gateway(w http.ResponseWriter, r *http.Request, body []byte) {
	stage, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	t := c.take("apigateway", "invoke", map[string]any{"Stage": stage, "Path": path, "Method": r.Method})
	if t == nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	out := t.Output.(map[string]any)
	if in := t.Input.(map[string]any); in["RequestBody"] != nil && len(body) == 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	data, _ := json.Marshal(out["ResponseBody"])
	w.Write(data)
}
