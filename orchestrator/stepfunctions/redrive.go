package stepfunctions

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator"
)

// Redrive implements [orchestrator.Executor]. Its client token derives from the
// execution and the number of the redrive, so that asking again for one whose
// answer was lost is not another.
func (e *Executor) Redrive(ctx context.Context, name string) (orchestrator.Execution, error) {
	x, err := e.redrive(ctx, name)
	if err != nil {
		return orchestrator.Execution{}, fmt.Errorf("redrive execution %s: %w", name, err)
	}
	return x, nil
}

func (e *Executor) redrive(ctx context.Context, name string) (orchestrator.Execution, error) {
	if _, is := e.heldExpress(name); is {
		return orchestrator.Execution{}, fmt.Errorf("%w: %s", orchestrator.ErrNotRedrivable, expressFixed)
	}
	m, arn, err := e.resolve(ctx, name)
	if err != nil {
		return orchestrator.Execution{}, err
	}
	if express(arn) {
		return orchestrator.Execution{}, fmt.Errorf("%w: %s", orchestrator.ErrNotRedrivable, expressFixed)
	}
	x, err := e.describe(ctx, m, arn)
	switch {
	case err != nil:
		return x, err
	case x.Fixed != "":
		return x, fmt.Errorf("%w: %s", orchestrator.ErrNotRedrivable, x.Fixed)
	case !x.Status.Ended():
		return x, fmt.Errorf("%w: it has not ended", orchestrator.ErrNotRedrivable)
	case x.Ended != nil && time.Since(*x.Ended) > orchestrator.RedrivableFor:
		return x, fmt.Errorf("%w: it ended more than 14 days ago", orchestrator.ErrNotRedrivable)
	}
	token := redriveToken(arn, x.Redrives+1)
	out, err := call(ctx, e, m, "RedriveExecution", func(ctx context.Context, c *sfn.Client) (*sfn.RedriveExecutionOutput, error) {
		return c.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: &arn, ClientToken: &token})
	})
	if isCode(err, "ExecutionNotRedrivable") {
		if now, err := e.describe(ctx, m, arn); err == nil && now.Redrives > x.Redrives { // an answer was lost
			e.follow(m, now, e.timeoutOf(name))
			return now, nil
		}
		return x, fmt.Errorf("%w: %v", orchestrator.ErrNotRedrivable, err)
	}
	if err != nil {
		return x, err
	}
	x.Status, x.Ended, x.Output, x.Error, x.Cause = anneal.StatusRunning, nil, nil, "", ""
	x.Redrives, x.Redriven = x.Redrives+1, utc(out.RedriveDate)
	e.follow(m, x, e.timeoutOf(name))
	return x, nil
}

// timeoutOf is the timeout that an ended execution was last asked for with.
func (e *Executor) timeoutOf(name string) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer delete(e.timeouts, name)
	return e.timeouts[name]
}

func redriveToken(arn string, redrive int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d", arn, redrive))
	return hex.EncodeToString(sum[:16])
}
