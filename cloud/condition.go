package cloud

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Condition is what is wrong at present with one user of a service, by the
// call that it is wrong with. It tells the log when that changes. Its methods
// may be called concurrently.
type Condition struct {
	service Service
	log     *slog.Logger

	mu       sync.Mutex
	wrong    map[string]string    // guarded by mu; call to what is wrong
	unheard  map[string]bool      // guarded by mu; of wrong, what AWS did not answer: any call would tell that it is over
	asked    map[string]time.Time // guarded by mu; call to when the newest that is noted began
	answered time.Time            // guarded by mu; when the newest began that went well, of any call
}

// Watch is a condition in which nothing is wrong.
func (s Service) Watch(log *slog.Logger) *Condition {
	return &Condition{service: s, log: log, wrong: make(map[string]string), unheard: make(map[string]bool), asked: make(map[string]time.Time)}
}

// Note takes down how a call that began at some time went. What went wrong after
// ctx had ended is nobody's fault, and what an older call has to say is over: also
// that AWS did not answer, once it has answered another call, since this one may not
// be made again for long.
func (c *Condition) Note(ctx context.Context, call string, began time.Time, err error) {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if began.Before(c.asked[call]) {
		return
	}
	c.asked[call] = began
	if err == nil {
		if began.After(c.answered) {
			c.answered = began
		}
		c.clear(call)
		for _, other := range slices.Sorted(maps.Keys(c.unheard)) {
			if c.asked[other].Before(began) {
				c.clear(other)
			}
		}
		return
	}
	code, status := Answer(err)
	unheard := code == "" && status == 0
	if unheard && began.Before(c.answered) {
		return
	}
	delete(c.unheard, call)
	if unheard {
		c.unheard[call] = true
	}
	what := c.service.Explain(call, err)
	told := c.has(what) // by this call or another
	c.wrong[call] = what
	if !told {
		c.log.Warn("aws does not work, trying again", "service", c.service.Name, "resource", c.service.Resource, "call", call, "err", what)
	}
}

// clear says that nothing is wrong with a call. The caller holds c.mu.
func (c *Condition) clear(call string) {
	what := c.wrong[call]
	delete(c.wrong, call)
	delete(c.unheard, call)
	if what != "" && !c.has(what) {
		c.log.Info("aws works again", "service", c.service.Name, "resource", c.service.Resource, "call", call)
	}
}

// has says whether this is wrong with any call. The caller holds c.mu.
func (c *Condition) has(what string) bool {
	return slices.Contains(slices.Collect(maps.Values(c.wrong)), what)
}

// String is all that is wrong; empty: nothing.
func (c *Condition) String() string {
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
