package webhook

import (
	"sync"
	"time"
)

// deliveries remembers each webhook-id for as long as its timestamp would be
// accepted: who sends a signed request again with other headers, which are not
// signed, gets the first event.
type deliveries struct {
	mu    sync.Mutex
	known map[string]*delivery // guarded by mu
	swept time.Time            // guarded by mu
}

type delivery struct {
	expires time.Time
	done    chan struct{} // closed when event is known
	event   string        // the ID; empty if it did not become durable
}

// begin says whether the delivery is the caller's to make, who must end it. If
// it is not, it is another's, made or being made.
func (d *deliveries) begin(id string, expires, now time.Time) (*delivery, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.swept).Abs() > time.Minute {
		d.swept = now
		for id, old := range d.known {
			if old.expires.Before(now) {
				delete(d.known, id)
			}
		}
	}
	if known := d.known[id]; known != nil {
		return known, false
	}
	mine := &delivery{expires: expires, done: make(chan struct{})}
	d.known[id] = mine
	return mine, true
}

// end says which event the delivery has become. Without one, it may be made
// again.
func (d *deliveries) end(id string, mine *delivery, event string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if event == "" && d.known[id] == mine {
		delete(d.known, id)
	}
	mine.event = event
	close(mine.done)
}
