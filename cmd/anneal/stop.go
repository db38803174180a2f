package main

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// The daemon stops in this order, each step for a few seconds at most, so that
// it has ended within ten whoever holds it up:
//
//  1. It is not ready any more: /readyz and whatever asks for work get 503.
//  2. Sources stop, having acknowledged what they handed over.
//  3. The loop and the engine stop. Executions stay open; jobs go on under their
//     shims.
//  4. HTTP requests that are open are answered; /livez was, until here.
//  5. The journal is closed.
const (
	// stopWithin is how long a step is waited for.
	stopWithin = 3 * time.Second
	// drainWithin is how long open requests are waited for.
	drainWithin = 2 * time.Second
)

// await waits until these parts have ended, but not for ever: what does not
// stop is left behind. The journal refuses what it still has to say.
func (d *daemon) await(what string, parts *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() {
		parts.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(stopWithin):
		d.log.Warn("does not stop, going on without it", "part", what, "after", stopWithin)
	}
}

// untilStopping refuses what asks for work once the daemon stops, so that
// whoever asks tries the next one. What reads is answered to the end.
func (d *daemon) untilStopping(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !d.ready.Load() {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Retry-After", "5")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, `{"error":"the daemon is starting or stopping: try again"}`)
			return
		}
		next.ServeHTTP(w, r)
	})
}
