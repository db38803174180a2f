package sfnapi_test

import (
	"bytes"
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
func (s *service) request(t *testing.T, id, key, region string, at time.Time, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "AWSStepFunctions.ListStateMachines")
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
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
		{"14 minutes slow", s.request(t, keyID, secret, "us-east-1", now.Add(-14*time.Minute), "{}"), `200 {"stateMachines":[]}`},
		{"16 minutes slow", s.request(t, keyID, secret, "us-east-1", now.Add(-16*time.Minute), "{}"), `"InvalidSignatureException","message":"Signature expired: `},
		{"16 minutes fast", s.request(t, keyID, secret, "us-east-1", now.Add(16*time.Minute), "{}"), `"InvalidSignatureException","message":"Signature not yet current: `},
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

	// A request that somebody has listened to.
	heard := s.request(t, keyID, secret, "us-east-1", now.Add(-time.Second), `{"maxResults":7}`)
	again := heard.Clone(t.Context())
	again.Body = io.NopCloser(strings.NewReader(`{"maxResults":7}`))
	changed := s.request(t, keyID, secret, "us-east-1", now.Add(-2*time.Second), `{"maxResults":8}`)
	changed.Body, changed.ContentLength = io.NopCloser(bytes.NewReader([]byte(`{"maxResults":9}`))), 16
	for _, c := range []struct {
		name, want string
		req        *http.Request
	}{
		{"the first time", "200", heard},
		{"again", "403", again},
		{"with another body", "403", changed},
	} {
		if got := s.send(t, c.req); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
