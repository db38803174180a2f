package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A Service is what is asked of AWS, as a remedy names it.
type Service struct {
	Name     string // as people say it: SQS
	Prefix   string // of its actions in IAM: sqs
	Region   string
	Resource string // with its article and kind: the queue uploads
	// Remedies are of the errors that only this service has, or that mean more
	// here, by code: what is wrong, a colon, and what to do.
	Remedies map[string]string
}

// Answer is the code and the HTTP status of what AWS answered, where err is that;
// else they are empty and 0.
func Answer(err error) (code string, status int) {
	if answer, ok := errors.AsType[smithy.APIError](err); ok {
		code = answer.ErrorCode()
	}
	if answer, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		status = answer.HTTPStatusCode()
	}
	return code, status
}

// Explain is err, which a call gave, in one line with its remedy, which comes last,
// after a colon. It has no
// request ID, so that the same is the same. The call is the name of the action
// in IAM, without its prefix.
//
// Source: "Common Errors" of the API references.
func (s Service) Explain(call string, err error) string {
	var answer smithy.APIError
	var unsent *smithyhttp.RequestSendError
	code, text := "", ""
	if errors.As(err, &answer) {
		code, text = answer.ErrorCode(), answer.ErrorMessage()
	}
	is := func(codes ...string) bool { return slices.Contains(codes, code) }
	remedy, known := s.Remedies[code]
	switch {
	case known:
		return code + ": " + remedy
	case is("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "AuthorizationErrorException", "NotAuthorized", "Forbidden"):
		if s.assuming(err) {
			return fmt.Sprintf("%s: the role cannot be assumed: allow it to trust the daemon's own identity, and that sts:AssumeRole", code)
		}
		if of := ofKey.FindStringSubmatch(text); of != nil { // S3 has no code for it
			return fmt.Sprintf("%s: grant the role %s on %s", code, of[1], cmp.Or(of[2], "the key of "+s.Resource))
		}
		return fmt.Sprintf("%s: grant the role %s:%s on %s", code, s.Prefix, call, s.Resource)
	case is("KmsAccessDenied", "KMS.AccessDeniedException", "KMSAccessDenied", "KMSAccessDeniedException"):
		return fmt.Sprintf("%s: grant the role kms:Decrypt on the key of %s", code, s.Resource)
	case is("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"):
		return fmt.Sprintf("%s: the credentials have expired: renew them; they are read again at each try", code)
	case is("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "MissingAuthenticationToken", "MissingAuthenticationTokenException", "IncompleteSignature", "InvalidToken"):
		return fmt.Sprintf("%s: the credentials are not known to AWS: correct them", code)
	case is("SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidSignatureException"):
		return fmt.Sprintf("%s: the signature is not accepted: set the clock, or correct the secret key", code)
	case is("RequestThrottled", "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown", "OverLimit", "KmsThrottled", "PriorRequestNotComplete"):
		return fmt.Sprintf("%s: AWS asks for fewer requests: they are made fewer", code)
	case code != "":
		return strings.TrimSuffix(fmt.Sprintf("%s: %s", code, text), ": ")
	case strings.Contains(err.Error(), "credentials"):
		return fmt.Sprintf("no credentials (%s): give the daemon a role, a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", last(err))
	case strings.Contains(err.Error(), "an AWS region is required"):
		return "no region: set region, or AWS_REGION"
	case strings.Contains(err.Error(), "Invalid region"): // also where there is none, of S3
		return "no region, or none that there can be: set region, or AWS_REGION"
	case errors.Is(err, context.DeadlineExceeded), strings.Contains(err.Error(), "timeout awaiting response headers"):
		return fmt.Sprintf("%s: no answer in time: check the network, proxy and endpoint of %s in %s", call, s.Name, s.Region)
	case errors.As(err, &unsent):
		return fmt.Sprintf("%s in %s cannot be reached (%s): check network and endpoint", s.Name, s.Region, last(unsent.Err))
	}
	return call + ": " + last(err)
}

// ofKey finds what is not allowed with a key of KMS, and the key if it is told.
var ofKey = regexp.MustCompile(`(kms:\w+)(?: on resource: (arn:\S+))?`)

// assuming says that err is of the role that was to be assumed, not of the call
// that needed it.
func (s Service) assuming(err error) bool {
	service := ""
	for of := (*smithy.OperationError)(nil); errors.As(err, &of); err = of.Err {
		service = of.ServiceID
	}
	return service == "STS" && s.Prefix != "sts"
}

// last is the innermost error, which has no request ID.
func last(err error) string {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}
