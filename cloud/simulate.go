package cloud

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
)

// A Permission is what IAM is asked about: actions on resources, with what the
// requests have under keys of conditions.
type Permission struct {
	Actions, Resources []string
	Context            map[string]string
}

// Simulate asks IAM which of the actions a principal may not do, and touches
// nothing. It takes the permission iam:SimulatePrincipalPolicy on the principal, and
// sees its own policies alone: not those of organisations, nor of resources.
//
// Source: IAM API Reference, SimulatePrincipalPolicy, version 2010-05-08.
func Simulate(ctx context.Context, with aws.Config, principal string, p Permission) (denied []string, err error) {
	form := url.Values{"Action": {"SimulatePrincipalPolicy"}, "Version": {"2010-05-08"}, "PolicySourceArn": {principal}}
	for i, action := range p.Actions {
		form.Set(fmt.Sprintf("ActionNames.member.%d", i+1), action)
	}
	for i, resource := range p.Resources {
		form.Set(fmt.Sprintf("ResourceArns.member.%d", i+1), resource)
	}
	n := 0
	for key, value := range p.Context {
		n++
		entry := fmt.Sprintf("ContextEntries.member.%d.", n)
		form.Set(entry+"ContextKeyName", key)
		form.Set(entry+"ContextKeyType", "string")
		form.Set(entry+"ContextKeyValues.member.1", value)
	}
	endpoint, region := iamEndpoint(with, principal)
	body := []byte(form.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask IAM: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	credentials, err := with.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask IAM: credentials: %w", err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, req, hex.EncodeToString(sum[:]), "iam", region, time.Now()); err != nil {
		return nil, fmt.Errorf("ask IAM: %w", err)
	}
	resp, err := with.HTTPClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask IAM: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("ask IAM: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var problem struct {
			Error struct{ Code, Message string }
		}
		if xml.Unmarshal(text, &problem) != nil || problem.Error.Code == "" {
			problem.Error.Code = resp.Status
		}
		return nil, &smithy.GenericAPIError{Code: problem.Error.Code, Message: problem.Error.Message}
	}
	var answer struct {
		Results []struct {
			Action   string `xml:"EvalActionName"`
			Resource string `xml:"EvalResourceName"`
			Decision string `xml:"EvalDecision"`
		} `xml:"SimulatePrincipalPolicyResult>EvaluationResults>member"`
	}
	if err := xml.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("ask IAM: %w", err)
	}
	if len(answer.Results) == 0 {
		return nil, fmt.Errorf("ask IAM: the answer has no result")
	}
	for _, r := range answer.Results {
		if r.Decision != "allowed" {
			denied = append(denied, r.Action+" on "+r.Resource)
		}
	}
	return denied, nil
}

// iamEndpoint is where IAM, which is one for all regions, is asked, and the region
// that requests are signed for.
func iamEndpoint(with aws.Config, principal string) (endpoint, region string) {
	if at := os.Getenv("AWS_ENDPOINT_URL_IAM"); at != "" {
		return at, "us-east-1"
	}
	if with.BaseEndpoint != nil {
		return *with.BaseEndpoint, "us-east-1"
	}
	if strings.HasPrefix(principal, "arn:aws-cn:") {
		return "https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"
	}
	if strings.HasPrefix(principal, "arn:aws-us-gov:") {
		return "https://iam.us-gov.amazonaws.com", "us-gov-west-1"
	}
	return "https://iam.amazonaws.com", "us-east-1"
}
