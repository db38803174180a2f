package web

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

const (
	maxLive   = 64               // pages that are kept up to date at a time
	liveEvery = time.Second      // at most this often
	liveAlive = 20 * time.Second // at least this often, so that a peer that is gone is noticed
)

// follow tells a page, as server-sent events, that the journal has grown.
func (h *handler) follow(w http.ResponseWriter, r *http.Request) {
	select {
	case h.live <- struct{}{}:
		defer func() { <-h.live }()
	default:
		w.Header().Set("Retry-After", "60")
		Fail(w, Refuse(http.StatusServiceUnavailable, "%d pages are kept up to date already", maxLive))
		return
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{}) // the request is at its end; its sender stays
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	send := func(line string) error {
		control.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := fmt.Fprint(w, line); err != nil {
			return err
		}
		return control.Flush()
	}
	told := h.Journal.Last()
	if send(": began\n\n") != nil {
		return
	}
	for r.Context().Err() == nil {
		line := ": still here\n\n"
		if h.grown(r.Context(), told) {
			told = h.Journal.Last()
			line = fmt.Sprintf("data: %d\n\n", told)
		}
		if r.Context().Err() != nil || send(line) != nil {
			return
		}
		select {
		case <-time.After(liveEvery):
		case <-r.Context().Done():
		}
	}
}

// grown waits for a record after number last, for a while.
func (h *handler) grown(ctx context.Context, last uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, liveAlive)
	defer cancel()
	for _, err := range h.Journal.Read(ctx, last+1, true) {
		return err == nil
	}
	return false
}
