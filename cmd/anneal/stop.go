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
	mu     sync.RWMutex // held for reading by those that have passed
	closed chan struct{}
}

func newGate() *gate { return &gate{closed: make(chan struct{})} }

// close refuses those who come from now on.
func (g *gate) close() { close(g.closed) }

// wait waits for those who have passed.
func (g *gate) wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
}

func (g *gate) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		select {
		case <-g.closed:
			w.Header().Set("Retry-After", "5")
			web.Fail(w, web.Refuse(http.StatusServiceUnavailable, "the daemon stops: try again"))
			return
		default:
		}
		g.mu.RLock()
		defer g.mu.RUnlock()
		next.ServeHTTP(w, r)
	})
}
