package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/web"
)

const (
	// waitFor is how long a data folder is waited for that another daemon holds,
	// where nothing else is said.
	waitFor = 15 * time.Second
	// askAgain is how often it is looked at.
	askAgain = 250 * time.Millisecond
)

// errWaited is that the daemon was told to stop while it waited.
var errWaited = errors.New("stopped while waiting for the data folder")

// An entrance answers requests from the time that the port is taken: before the
// daemon is put together, that it is alive and not ready.
type entrance struct {
	handler atomic.Pointer[http.Handler]
	stop    context.CancelFunc // nil: nobody is let in yet
	ended   chan error
}

func (e *entrance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*e.handler.Load()).ServeHTTP(w, r)
}

// open has h answer requests from now on.
func (d *daemon) open(h http.Handler) {
	e := &d.entrance
	e.handler.Store(&h)
	if e.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	e.stop, e.ended = stop, make(chan error, 1)
	go func() { e.ended <- d.serveHTTP(ctx, d.listener, e) }()
}

// serveEntrance has h answer requests until ctx ends.
func (d *daemon) serveEntrance(ctx context.Context, h http.Handler) error {
	d.open(h)
	select {
	case err := <-d.entrance.ended:
		d.entrance.ended <- nil // for who closes
		return err
	case <-ctx.Done():
		return d.shut()
	}
}

// shut lets nobody in any more, once open requests are answered.
func (d *daemon) shut() error {
	d.entrance.stop()
	err := <-d.entrance.ended
	d.entrance.ended <- nil
	return err
}

// openJournal opens the journal, and where another daemon holds its folder, waits
// for that to end: in a rolling update the next one is there before the last one
// has gone. Nothing in the folder is read or written until then. After so long a
// time the error is that of the folder in use.
func (d *daemon) openJournal(ctx context.Context, data string, wait time.Duration) (*journal.Journal, error) {
	began := time.Now()
	told := false
	for {
		j, err := openJournal(ctx, data, journal.Options{Logger: d.log})
		if !errors.Is(err, journal.ErrInUse) || time.Since(began) >= wait {
			if told && err == nil {
				d.log.Info("the data folder is free", "data", data, "waited", time.Since(began).Round(time.Millisecond))
			}
			return j, err
		}
		if !told {
			told = true
			d.log.Info("waiting for the data folder, which another daemon holds", "data", data, "address", d.address(), "most", wait, "err", err)
			d.open(aliveAlone(len(d.cfg.Settings.Auth.Tokens) == 0, err))
		}
		select {
		case <-ctx.Done():
			return nil, errWaited
		case <-time.After(askAgain):
		}
	}
}

// aliveAlone answers that the daemon is alive, and not ready for anything.
func aliveAlone(tell bool, why error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answer := map[string]any{"ready": false}
		if tell { // the names of what is here are not for everybody
			answer["parts"] = map[string]string{"journal": "waiting: " + why.Error()}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		json.NewEncoder(w).Encode(answer)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "5")
		web.Fail(w, web.Refuse(http.StatusServiceUnavailable, "the daemon waits for its data folder, which another one holds: try again"))
	})
	return mux
}
