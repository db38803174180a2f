package sfnapi_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
)

const (
	keyID  = "AKIDEXAMPLEEXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// signed is a service that checks signatures.
func signed(cfg *sfnapi.Config) {
	cfg.Signatures = &sfnapi.Signatures{Keys: map[string]string{keyID: secret}, Region: "us-east-1"}
}

// request is a call that the SDK's own signer has signed.
func (s *service) request(t *testing.T, id, key, region string, at time.Time, body string, headers ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "AWSStepFunctions.ListStateMachines")
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	sum := sha256.Sum256([]byte(body))
	credentials := aws.Credentials{AccessKeyID: id, SecretAccessKey: key}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, req, hex.EncodeToString(sum[:]), "states", region, at); err != nil {
		t.Fatal(err)
	}
	return req
}

func (s *service) send(t *testing.T, req *http.Request) string {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, data)
}

// Where nobody signs, a page that a browser shows gets nothing, under whatever name of
// this machine's it came.
func TestPages(t *testing.T) {
	for _, c := range []struct {
		origin, want string
		more         []func(*sfnapi.Config)
	}{
		{"", `200 {"stateMachines":[]}`, nil},
		{"http://rebound.example:8083", `403 {"__type":"AccessDeniedException","message":"A page of http://rebound.example:8083 may not call without a signature"}`, nil},
		{"null", `403 {"__type":"AccessDeniedException","message":"A page of null may not call without a signature"}`, nil},
		{"http://rebound.example:8083", `200 {"stateMachines":[]}`, []func(*sfnapi.Config){signed}},
	} {
		s := serve(t, newJournal(t), c.more...)
		req := s.request(t, keyID, secret, "us-east-1", time.Now(), "{}")
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
			req.Host = "rebound.example:8083"
		}
		if c.more != nil {
			req.Host = "" // that which is signed
		}
		if got := s.send(t, req); got != c.want {
			t.Errorf("from %q: %s\nwant %s", c.origin, got, c.want)
		}
	}
}

func TestSignatures(t *testing.T) {
	s := serve(t, newJournal(t), signed)
	now := time.Now()
	for _, c := range []struct {
		name string
		req  *http.Request
		want string
	}{
		{"good", s.request(t, keyID, secret, "us-east-1", now, "{}"), `200 {"stateMachines":[]}`},
		{"4 minutes slow", s.request(t, keyID, secret, "us-east-1", now.Add(-4*time.Minute), "{}"), `200 {"stateMachines":[]}`},
		{"6 minutes slow", s.request(t, keyID, secret, "us-east-1", now.Add(-6*time.Minute), "{}"), `"InvalidSignatureException","message":"Signature expired: `},
		{"6 minutes fast", s.request(t, keyID, secret, "us-east-1", now.Add(6*time.Minute), "{}"), `"InvalidSignatureException","message":"Signature not yet current: `},
		{"another key", s.request(t, keyID, "x", "us-east-1", now, "{}"), `"InvalidSignatureException","message":"The request signature we calculated does not match`},
		{"unknown key", s.request(t, "AKIDOTHEROTHEROTHER", secret, "us-east-1", now, "{}"), `"UnrecognizedClientException"`},
		{"another region", s.request(t, keyID, secret, "eu-west-1", now, "{}"), `"InvalidSignatureException","message":"Credential should be scoped to`},
	} {
		if got := s.send(t, c.req); !strings.Contains(got, c.want) || !strings.HasPrefix(got, "200") && !strings.HasPrefix(got, "403") {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
	}
	plain, _ := http.NewRequest(http.MethodPost, s.url, strings.NewReader("{}"))
	if got := s.send(t, plain); !strings.Contains(got, "403") || !strings.Contains(got, "MissingAuthenticationTokenException") {
		t.Errorf("without a signature: %s", got)
	}

	// Other ways to say who and when.
	const stamp = "20060102T150405Z"
	dated := func(date string) *http.Request { // the SDK's signer cannot
		req := s.request(t, keyID, secret, "us-east-1", now, "{}")
		req.Header.Del("X-Amz-Date")
		req.Header.Set("Date", date)
		sum := sha256.Sum256([]byte("{}"))
		names := "content-type;date;host;x-amz-target"
		canonical := "POST\n/\n\ncontent-type:application/x-amz-json-1.0\ndate:" + date + "\nhost:" + req.URL.Host +
			"\nx-amz-target:AWSStepFunctions.ListStateMachines\n\n" + names + "\n" + hex.EncodeToString(sum[:])
		day := now.UTC().Format("20060102")
		scope := day + "/us-east-1/states/aws4_request"
		sum = sha256.Sum256([]byte(canonical))
		key := []byte("AWS4" + secret)
		for _, part := range []string{day, "us-east-1", "states", "aws4_request", "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + hex.EncodeToString(sum[:])} {
			h := hmac.New(sha256.New, key)
			h.Write([]byte(part))
			key = h.Sum(nil)
		}
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+keyID+"/"+scope+", SignedHeaders="+names+", Signature="+hex.EncodeToString(key))
		return req
	}
	unnamed := s.request(t, keyID, secret, "us-east-1", now, "{}")
	unnamed.Header.Del("X-Amz-Date")
	presigned, err := http.NewRequest(http.MethodPost, s.url+"/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="+keyID+"&X-Amz-Signature=0123", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	long := "Mon, 02 Jan 2006 15:04:05 GMT"
	for _, c := range []struct {
		name, want string
		req        *http.Request
	}{
		{"a Date alone", `200 {"stateMachines":[]}`, dated(now.UTC().Format(stamp))},
		{"an old Date alone", `"InvalidSignatureException","message":"Signature expired: `, dated(now.UTC().Add(-6 * time.Minute).Format(stamp))},
		{"a Date as mail has it", `"IncompleteSignatureException","message":"Date must be in ISO-8601 'basic format'. Got '` + long + `'.`, dated(long)},
		{"no date", `"IncompleteSignatureException","message":"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."`, unnamed},
		{"a presigned URL", `"MissingAuthenticationTokenException","message":"Missing Authentication Token: a signature in the URL is not taken here`, presigned},
	} {
		if got := s.send(t, c.req); !strings.Contains(got, c.want) || !strings.HasPrefix(got, "200") && !strings.HasPrefix(got, "403") {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
	}

	// Requests that are sent again.
	again := func(req *http.Request, body string) *http.Request {
		same := req.Clone(t.Context())
		same.Body, same.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		return same
	}
	const body = `{"maxResults":7}`
	ask := func(headers ...string) *http.Request {
		return s.request(t, keyID, secret, "us-east-1", now.Add(-time.Second), body, headers...)
	}
	plainly, once := ask(), ask("amz-sdk-invocation-id: 1", "amz-sdk-request: attempt=1")
	for _, c := range []struct {
		name, want string
		req        *http.Request
	}{
		{"of a signer without IDs", "200", plainly},
		{"the same twice in a second", "200", again(plainly, body)},
		{"with an ID", "200", once},
		{"what somebody has listened to", "403", again(once, body)},
		{"the next try of the same", "200", ask("amz-sdk-invocation-id: 1", "amz-sdk-request: attempt=2")},
		{"with another body", "403", again(plainly, `{"maxResults":8}`)},
		{"with another operation", "403", func() *http.Request {
			req := again(plainly, body)
			req.Header.Set("X-Amz-Target", "AWSStepFunctions.ListActivities")
			return req
		}()},
		{"with a payload that is not signed", "403", func() *http.Request {
			req := s.request(t, keyID, secret, "us-east-1", now, "UNSIGNED-PAYLOAD", "X-Amz-Content-Sha256: UNSIGNED-PAYLOAD")
			return again(req, body)
		}()},
		{"with a token of another identity", "403", ask("X-Amz-Security-Token: t")},
	} {
		if got := s.send(t, c.req); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
