// Package notify tells people.
//
// A notice is built by a pure function from the noun it tells of ([Started],
// [Failed], [Promoted], [Held], [Parked], [Message]), with a subject and a text
// written for a person, and an ID derived from cause, kind and channel: the
// same news is one notice, however often it is told. A [Channel] delivers it;
// channels live in a package each and are held to the contract of notifytest.
//
// Which notices are wanted, and that they are kept and tried again, is left to
// the controller; [Backoff] says how long it should wait.
package notify

import (
	"context"
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

// Backoff is how long to wait before the next try, after attempts tries that
// went wrong: 1 s, 2 s, 4 s, and so on up to 5 min.
func Backoff(attempts int) time.Duration {
	const longest = 5 * time.Minute
	if attempts > 9 {
		return longest
	}
	return min(time.Second<<max(attempts-1, 0), longest)
}
