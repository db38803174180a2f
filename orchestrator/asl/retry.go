package asl

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
)

// A retrier is one entry of Retry.
type retrier struct {
	errors   []string
	interval float64 // seconds
	attempts int64   // MaxAttempts
	rate     float64 // BackoffRate
	most     float64 // MaxDelaySeconds; 0 is none
	jitter   bool    // JitterStrategy FULL
}

// maxDelay is what a delay can grow to, so that it stays a time.
const maxDelay = 99_999_999 * time.Second

// delay is how long to wait after the nth failure that this retrier took, from 0.
func (r retrier) delay(n int64, random *rand.Rand) time.Duration {
	seconds := r.interval * math.Pow(r.rate, float64(n))
	if r.most > 0 {
		seconds = min(seconds, r.most)
	}
	if r.jitter {
		seconds *= random.Float64()
	}
	return time.Duration(min(seconds, maxDelay.Seconds()) * float64(time.Second))
}

// A catcher is one entry of Catch.
type catcher struct {
	errors     []string
	next       string
	resultPath *jsonpath.Path // nil: the error output is discarded
	assign     *template
	output     *template // in JSONata
}
