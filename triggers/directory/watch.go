package directory

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How often the whole folder is looked at.
const (
	scanEvery = 30 * time.Second
	scanShare = 100         // but at most one part in this many of the time
	scanSoon  = time.Second // after changes may have been missed
)

// breath is between two looks at what the system tells. A file that is written
// in small pieces changes a hundred thousand times a second; while nobody
// listens, the system makes one change of them.
const breath = 2 * time.Millisecond

// A watch finds the files that are to be delivered. One goroutine owns it.
type watch struct {
	cfg Config
	log *slog.Logger

	settler  *settler
	queue    []file           // settled, in order
	busy     map[string]stamp // queued, or being delivered
	known    map[string]known // delivered
	warnings map[string]warning

	cache      *cache
	remembered map[string]remembered // from the cache, until a scan has passed there

	system *fsnotify.Watcher // nil if the system has none to give
	scans  uint32            // so far
	scanAt time.Time         // the next
	away   time.Duration     // the wait for a folder that is away; 0 if it is not
	tell   func(why *string) // is told when that changes
}

// known is a file that was delivered.
type known struct {
	stamp
	scan uint32 // the last that saw it
}

// A warning was given about a file and is not repeated.
type warning struct {
	text string
	scan uint32 // the last that it was true for
}

// run gives jobs out and takes their results until ctx ends.
func (w *watch) run(ctx context.Context, jobs chan<- file, results <-chan result) {
	var events <-chan fsnotify.Event
	var faults <-chan error
	if w.system != nil {
		events, faults = w.system.Events, w.system.Errors
	}
	var pause <-chan time.Time // after which events are listened to again

	w.scan(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wake := w.scanAt
		if due, ok := w.settler.next(); ok && due.Before(wake) {
			wake = due
		}
		timer.Reset(time.Until(wake))

		var give chan<- file
		var first file
		if len(w.queue) > 0 {
			give, first = jobs, w.queue[0]
		}
		listen := events
		if pause != nil {
			listen = nil
		}
		select {
		case <-ctx.Done():
			return
		case e := <-listen:
			w.changed(ctx, e, events)
			pause = time.After(breath)
		case <-pause:
			pause = nil
		case err := <-faults:
			// Most likely more happened at once than the system could tell.
			w.log.Debug("changes may have been missed", "err", err)
			w.scanWithin(scanSoon)
		case give <- first:
			if w.queue = w.queue[1:]; len(w.queue) == 0 {
				w.queue = nil
			}
		case r := <-results:
			w.done(r)
		case <-timer.C:
			if due, ok := w.settler.next(); ok && !time.Now().Before(due) {
				w.take()
			}
			if !time.Now().Before(w.scanAt) {
				w.scan(ctx)
			}
		}
	}
}

// changed looks at what the system says has changed: what e says, and what more
// waits in events, which nobody else reads.
func (w *watch) changed(ctx context.Context, e fsnotify.Event, events <-chan fsnotify.Event) {
	ops := map[string]fsnotify.Op{e.Name: e.Op}
	for range len(events) {
		e := <-events
		ops[e.Name] |= e.Op
	}
	if w.away > 0 {
		return
	}
	root, err := os.OpenRoot(w.cfg.Path)
	if err != nil {
		w.scanWithin(0)
		return
	}
	defer root.Close()
	for name, op := range ops {
		rel, err := filepath.Rel(w.cfg.Path, name)
		if err != nil {
			continue
		}
		key := filepath.ToSlash(rel)
		if key == "." && op.Has(fsnotify.Remove|fsnotify.Rename) {
			w.scanWithin(0) // there is another folder in its place
		}
		if ignored(path.Base(key)) {
			continue
		}
		switch stamp, what := w.look(root, key); what {
		case isFile:
			w.saw(key, stamp)
		case isFolder:
			w.walk(ctx, root, key)
		case isNothing:
			w.settler.gone(key)
		}
	}
}

// scan looks at the whole folder.
func (w *watch) scan(ctx context.Context) {
	begun := time.Now()
	root, err := os.OpenRoot(w.cfg.Path)
	if err != nil {
		if w.away == 0 {
			w.log.Warn("folder cannot be read, waiting for it", "err", err)
			why := fmt.Sprintf("cannot be read, waiting for it: %v", err)
			w.tell(&why)
		}
		w.away = min(max(2*w.away, time.Second), scanEvery)
		w.scanAt = begun.Add(w.away)
		return
	}
	defer root.Close()
	if w.away > 0 {
		w.log.Info("folder can be read again")
		w.tell(nil)
		w.away = 0
	}
	w.scans++
	unseen := w.walk(ctx, root, ".")
	isUnseen := func(key string) bool {
		return slices.ContainsFunc(unseen, func(folder string) bool {
			return folder == "." || strings.HasPrefix(key, folder+"/")
		})
	}
	for key, k := range w.known {
		if k.scan != w.scans && !isUnseen(key) {
			delete(w.known, key)
		}
	}
	for key := range w.remembered {
		if !isUnseen(key) {
			delete(w.remembered, key)
		}
	}
	if len(w.remembered) == 0 {
		w.remembered = nil
	}
	for key, warned := range w.warnings {
		if w.scans-warned.scan > 2 { // what cannot be read is noticed only when it has settled
			delete(w.warnings, key)
		}
	}
	now := time.Now()
	w.scanAt = now.Add(max(scanEvery, scanShare*now.Sub(begun)))
}

func (w *watch) scanWithin(d time.Duration) {
	if at := time.Now().Add(d); at.Before(w.scanAt) {
		w.scanAt = at
	}
}

// saw takes in what a file is like now.
func (w *watch) saw(key string, now stamp) {
	if w.isNews(key, now) {
		w.settler.saw(key, now, time.Now())
	}
}

// isNews reports whether a file has to settle that is like this now: it was not
// delivered so, and is not about to be.
func (w *watch) isNews(key string, now stamp) bool {
	if k, ok := w.known[key]; ok && k.stamp == now {
		w.known[key] = known{now, w.scans}
		w.settler.gone(key)
		return false
	}
	if busy, ok := w.busy[key]; ok && busy == now {
		w.settler.gone(key)
		return false
	}
	return true
}

// take queues what has settled.
func (w *watch) take() {
	look := func(string) (stamp, bool) { return stamp{}, false }
	root, err := os.OpenRoot(w.cfg.Path)
	if err != nil {
		w.scanWithin(0) // the folder has gone; all is found again when it is back
	} else {
		defer root.Close()
		look = func(key string) (stamp, bool) {
			s, what := w.look(root, key)
			return s, what == isFile
		}
	}
	w.enqueue(w.settler.take(time.Now(), look))
}

// enqueue queues files that have settled, in their order.
func (w *watch) enqueue(settled []file) {
	for _, f := range settled {
		w.busy[f.key] = f.stamp
	}
	w.queue = append(w.queue, settled...)
}

// done takes in how a job ended.
func (w *watch) done(r result) {
	if w.busy[r.file.key] == r.file.stamp {
		delete(w.busy, r.file.key)
	}
	switch {
	case r.err != nil:
		// It comes again with the next scan.
		w.warn(r.file.key, "file cannot be read", r.err)
	case r.changed:
		if root, err := os.OpenRoot(w.cfg.Path); err == nil {
			defer root.Close()
			if stamp, what := w.look(root, r.file.key); what == isFile {
				w.saw(r.file.key, stamp)
			}
		}
	default:
		w.known[r.file.key] = known{r.file.stamp, w.scans}
		if r.read {
			w.cache.add(r.file)
		}
		if len(w.queue) == 0 {
			w.cache.compact(w.known)
		}
	}
	if len(w.busy) == 0 {
		w.busy = make(map[string]stamp) // maps do not shrink
	}
}

// warn logs what is wrong with a file, once.
func (w *watch) warn(key, text string, err error) {
	whole := text + ": " + err.Error()
	if w.warnings[key].text != whole {
		w.log.Warn(text, "key", key, "err", err)
	}
	w.warnings[key] = warning{whole, w.scans}
}
