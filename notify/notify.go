// Package notify tells people.
//
// A notice is built by a pure function from the noun it tells of ([Decided],
// [Started], [Succeeded], [Failed], [Promoted], [Held], [Parked], [Message],
// [Resolved]), with a subject and a text written for a person, facts for a
// program, and an ID derived from cause, kind and channel: the same news is one notice, however often it is told. A [Channel]
// delivers it; channels live in a package each and are held to the contract of
// notifytest.
//
// People are told once. A policy that goes on holding for one reason is told of
// when it begins, when the reason changes, every so often, and when it is over;
// [Told] knows which is which, as a fold of the notices themselves. What one
// cause has many policies do, and a flood of events that cannot be read, is one
// message: [Together].
//
// Which notices are wanted, and that they are kept and tried again, is left to
// the controller; [Wait] says how long it should.
package notify

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/anneal-ml/anneal"
)

// A Channel tells somebody.
type Channel interface {
	// Notify returns nil when the notice was taken. After an error it is given
	// again, so that somebody may be told twice and is never not told. It may
	// be called from several goroutines, and gives up when ctx ends.
	Notify(ctx context.Context, notice anneal.Notice) error
}

// Repeat is how long nobody is told again of a policy that goes on holding for
// one reason, unless a channel says otherwise.
const Repeat = 24 * time.Hour

// Terms are what a channel wants of those who use it.
type Terms struct {
	Repeat   time.Duration // see [Repeat]; 0 means that
	Together time.Duration // how long the first of a group waits for others; 0: each has a message of its own
}

// A Refusal is why a try went wrong, where a channel knows more of it.
type Refusal struct {
	Status int           // HTTP status; 0: there was no answer
	After  time.Duration // at least this long until the next try; 0: nothing was said
	Final  bool          // another try is not wanted
	Err    error
}

func (r *Refusal) Error() string { return r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

// longestWait bounds what a peer can ask for.
const longestWait = time.Hour

// Wait is how long to wait before the next try of a notice, after attempts
// tries of which the last ended with err: [Backoff] give or take a quarter, so
// that what failed together does not come again together, and no less than
// the peer asked for. Equal arguments give an equal wait.
func Wait(notice string, attempts int, err error) time.Duration {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", notice, attempts))
	part := float64(binary.BigEndian.Uint32(sum[:])) / (1 << 32) // 0 ≤ part < 1
	wait := time.Duration(float64(Backoff(attempts)) * (0.75 + part/2))
	var refusal *Refusal
	if errors.As(err, &refusal) {
		wait = max(wait, min(refusal.After, longestWait))
	}
	return wait
}

// Backoff is how long to wait before the next try, after attempts tries that
// went wrong: 1 s, 2 s, 4 s, and so on up to 5 min.
func Backoff(attempts int) time.Duration {
	const longest = 5 * time.Minute
	if attempts > 9 {
		return longest
	}
	return min(time.Second<<max(attempts-1, 0), longest)
}
