package sfnapi_test

import (
	"context"
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
