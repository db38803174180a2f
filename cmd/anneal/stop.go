package main

import (
	"net/http"
	"sync"
	"time"

	"github.com/anneal-ml/anneal/web"
)

// The daemon stops in this order, each step for a few seconds at most, so that
// it has ended within ten whoever holds it up:
//
//  1. It is not ready any more: /readyz, and whoever asks for work, gets 503.
//  2. Sources stop, having acknowledged what they handed over, and requests that
//     had asked for work are answered.
//  3. The loop and the engine stop. Executions stay open; jobs go on under their
//     shims.
//  4. The server stops; /livez answered until here.
//  5. The journal is closed.
const (
	// stopWithin is how long parts are waited for.
	stopWithin = 3 * time.Second
	// drainWithin is how long requests that ask for nothing but an answer are.
	drainWithin = time.Second
)

// await waits until something has ended, but not for ever: what does not stop is
// left behind, and the journal refuses what it still has to say.
func (d *daemon) await(what string, end func()) {
	ended := make(chan struct{})
	go func() {
		end()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(stopWithin):
		d.log.Warn("does not stop, going on without it", "part", what, "after", stopWithin)
	}
}

// A gate is passed by requests that ask for work. Once it is closed they are
// refused, so that whoever asks tries again or elsewhere; what only reads is
// answered to the end.
type gate struct {
	mu     sync.Mutex
	closed bool           // guarded by mu
	passed sync.WaitGroup // those who have; none is added once it is closed
}

// pass lets one pass, who leaves by passed.Done; false: the gate is closed.
func (g *gate) pass() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.passed.Add(1)
	}
	return !g.closed
}

// close refuses those who come from now on.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// wait waits for those who had passed when it was closed.
func (g *gate) wait() { g.passed.Wait() }

func (g *gate) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		if !g.pass() {
			w.Header().Set("Retry-After", "5")
			web.Fail(w, web.Refuse(http.StatusServiceUnavailable, "the daemon stops: try again"))
			return
		}
		defer g.passed.Done()
		next.ServeHTTP(w, r)
	})
}
