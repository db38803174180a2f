package sqs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A condition is what is wrong at present, by the call that it is wrong with. It
// tells the log when that changes.
type condition struct {
	log           *slog.Logger
	queue, region string

	mu    sync.Mutex
	wrong map[string]string    // guarded by mu; call to what is wrong
	asked map[string]time.Time // guarded by mu; call to when the newest that is noted began
}

// note takes down how a call that began at some time went. What went wrong after
// ctx had ended is nobody's fault, and what an older call has to say is over.
func (c *condition) note(ctx context.Context, call string, began time.Time, err error) {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if began.Before(c.asked[call]) {
		return
	}
	if c.asked == nil {
		c.asked, c.wrong = make(map[string]time.Time), make(map[string]string)
	}
	c.asked[call] = began
	if err == nil {
		if c.wrong[call] != "" {
			c.log.Info("queue works again", "call", call)
			delete(c.wrong, call)
		}
		return
	}
	what := c.explain(call, err)
	if c.wrong[call] == what {
		return
	}
	c.log.Warn("queue does not work, trying again", "call", call, "err", what)
	c.wrong[call] = what
}

// String is all that is wrong.
func (c *condition) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, call := range slices.Sorted(maps.Keys(c.wrong)) {
		if !slices.Contains(all, c.wrong[call]) {
			all = append(all, c.wrong[call])
		}
	}
	return strings.Join(all, "; ")
}

// explain is err in one line with its remedy. It has no request ID, so that the
// same is the same.
//
// Source: the SQS API reference, "Common Errors" and the errors of each action.
func (c *condition) explain(call string, err error) string {
	var gone *types.QueueDoesNotExist
	var answer smithy.APIError
	var unsent *smithyhttp.RequestSendError
	code, text := "", ""
	if errors.As(err, &answer) {
		code, text = answer.ErrorCode(), answer.ErrorMessage()
	}
	is := func(codes ...string) bool { return slices.Contains(codes, code) }
	switch {
	case errors.As(err, &gone), is("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"):
		return fmt.Sprintf("%s: there is no such queue in %s: make it, or correct queueURL and region", code, c.region)
	case is("InvalidAddress"):
		return fmt.Sprintf("%s: the queue is not in %s: correct queueURL or region", code, c.region)
	case is("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"):
		return fmt.Sprintf("%s: grant the role sqs:%s on the queue %s", code, call, c.queue)
	case is("KmsAccessDenied", "KMS.AccessDeniedException"):
		return fmt.Sprintf("%s: grant the role kms:Decrypt on the queue's key", code)
	case is("ExpiredToken", "ExpiredTokenException", "RequestExpired"):
		return fmt.Sprintf("%s: the credentials have expired: renew them; they are read again at each try", code)
	case is("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "MissingAuthenticationToken", "IncompleteSignature"):
		return fmt.Sprintf("%s: the credentials are not known to AWS: correct them", code)
	case is("SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidSignatureException"):
		return fmt.Sprintf("%s: the signature is not accepted: set the clock, or correct the secret key", code)
	case is("RequestThrottled", "Throttling", "ThrottlingException", "OverLimit", "KmsThrottled"):
		return fmt.Sprintf("%s: AWS asks for fewer requests: they are made fewer; if it goes on, lower consumers", code)
	case code != "":
		return strings.TrimSuffix(fmt.Sprintf("%s: %s", code, text), ": ")
	case strings.Contains(err.Error(), "credentials"):
		return "no credentials: give the daemon a role, a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: " + last(err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%s: no answer in time: check the network, proxy and endpoint of SQS in %s", call, c.region)
	case errors.As(err, &unsent):
		return fmt.Sprintf("SQS in %s cannot be reached: check network and endpoint: %s", c.region, last(unsent.Err))
	}
	return call + ": " + last(err)
}

// last is the innermost error, which has no request ID.
func last(err error) string {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}
