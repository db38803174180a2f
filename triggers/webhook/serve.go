package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/anneal-ml/anneal"
)

// received is the body of a 202.
type received struct {
	ID        string `json:"id"`
	Duplicate bool   `json:"duplicate"`
}

// A refusal is the body of everything else.
type refusal struct {
	status  int
	Message string `json:"error"`
	ID      string `json:"id,omitempty"` // of the parked event
}

func (r *refusal) Error() string { return r.Message }

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, Message: fmt.Sprintf(format, args...)}
}

// ServeHTTP takes one request.
func (s *Source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var refused *refusal
	switch got, err := s.serve(w, r); {
	case err == nil:
		write(w, http.StatusAccepted, got)
	case errors.As(err, &refused):
		if refused.status < 500 {
			s.refusals.note(s.log, s.now(), refused, r.RemoteAddr)
		}
		w.Header().Set("Connection", "close") // the body may not be at its end
		switch refused.status {
		case http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", "HMAC-SHA256")
		case http.StatusMethodNotAllowed:
			w.Header().Set("Allow", http.MethodPost)
		case http.StatusServiceUnavailable:
			w.Header().Set("Retry-After", "5")
		}
		write(w, refused.status, refused)
	default:
		panic(err) // unreachable: serve returns no other
	}
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // a peer that is gone needs no answer
}

// serve is ServeHTTP; every error is a refusal.
func (s *Source) serve(w http.ResponseWriter, r *http.Request) (received, error) {
	// Also the rest of a body that is refused is read no longer than this.
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(s.bodyTime)) // where that cannot be, the server's own limit holds
	if r.Method != http.MethodPost {
		return received{}, refuse(http.StatusMethodNotAllowed, "method %s: want POST", r.Method)
	}
	claim, err := s.cfg.Signature.claim(r.Header, s.now())
	if err != nil {
		return received{}, refuse(http.StatusUnauthorized, "%v", err)
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return received{}, refuse(http.StatusServiceUnavailable, "%d requests are being read; try again", maxRequests)
	}
	body, err := readBody(w, r)
	if err != nil {
		return received{}, err
	}
	// What the server reads from here on is the end of the connection, and
	// that is not to be taken for one.
	control.SetReadDeadline(time.Time{})
	if !claim.verify(s.keys, body) {
		return received{}, refuse(http.StatusUnauthorized, "signature: is not one of this body by a secret that is known here")
	}

	now := s.now().UTC()
	at := claim.at
	if at.IsZero() {
		at = now
	}
	identity := claim.identity(body)
	event, err := decode(s.cfg.Path, r.Header, body, identity, at, now)
	if errors.Is(err, errOwnSource) {
		return received{}, refuse(http.StatusForbidden, "%v", err)
	}
	if err != nil {
		stored, ingestErr := s.ingest(r.Context(), parked(s.cfg.Path, body, identity, at, now, err))
		if ingestErr != nil {
			return received{}, ingestErr
		}
		return received{}, &refusal{status: http.StatusBadRequest, Message: err.Error(), ID: stored.ID}
	}
	if claim.id == "" {
		return s.ingest(r.Context(), event)
	}
	for {
		delivery, mine := s.deliveries.begin(claim.id, claim.at.Add(tolerance), now)
		if mine {
			got, err := s.ingest(r.Context(), event)
			s.deliveries.end(claim.id, delivery, got.ID)
			return got, err
		}
		<-delivery.done // soon: ingest is bounded
		if delivery.event != "" {
			return received{ID: delivery.event, Duplicate: true}, nil
		}
	}
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var big *http.MaxBytesError
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &big):
		return nil, refuse(http.StatusRequestEntityTooLarge, "body: is larger than %d bytes", big.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refuse(http.StatusRequestTimeout, "body: is not at its end in time")
	}
	return nil, refuse(http.StatusBadRequest, "body: %v", err)
}

// ingest returns when the event is durable. That it is offered ends with the
// request; once Run has it, it does not.
func (s *Source) ingest(ctx context.Context, event anneal.Event) (received, error) {
	waiting, cancel := context.WithTimeout(ctx, s.ingestTime)
	defer cancel()
	answers := make(chan answer, 1)
	select {
	case s.offers <- offer{event, answers}:
	case <-waiting.Done():
		return received{}, refuse(http.StatusServiceUnavailable, "no events are taken at present; try again")
	}
	got := <-answers // Run answers within ingestTime
	if got.err != nil {
		s.log.Warn("event is not taken, its sender is to try again", "event", event.ID, "err", got.err)
		return received{}, refuse(http.StatusServiceUnavailable, "the event is not durable; try again")
	}
	s.log.Debug("request taken", "event", got.stored.ID, "duplicate", got.duplicate)
	return received{ID: got.stored.ID, Duplicate: got.duplicate}, nil
}

// refusals tells the log of requests that were refused, once a minute at most,
// for anybody can send them.
type refusals struct {
	mu    sync.Mutex
	told  time.Time // guarded by mu
	since int       // guarded by mu; refused and not told
}

func (f *refusals) note(log *slog.Logger, now time.Time, last *refusal, peer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since++
	if !f.told.IsZero() && now.Sub(f.told).Abs() < time.Minute {
		return
	}
	log.Warn("requests are refused", "requests", f.since, "status", last.status, "err", last.Message, "peer", peer)
	f.told, f.since = now, 0
}
