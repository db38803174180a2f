// Package web shows the journal over HTTP and takes what people ask of the
// daemon: triggers and events.
//
// Reading needs the journal alone, so the same handler serves a running daemon
// and, read-only, a journal folder that no daemon holds. Everything is read
// from committed records; nothing is kept beside them. A list is an array,
// newest first, with the cursor of the next page in the header Anneal-Cursor.
//
// The package decides nothing: what it is asked to do it hands to the functions
// in [Config], which answer once what they did is durable.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 1 << 20

// Cursor is the header that carries the cursor of a list's next page.
const Cursor = "Anneal-Cursor"

// Config is what a handler needs. Only Journal is required: where a function
// is nil, what needs it answers 503 and says that it needs a running daemon.
type Config struct {
	Journal *journal.Journal
	Log     *slog.Logger

	// Ready says whether the daemon serves, and in what condition its parts are.
	Ready func() (ok bool, parts map[string]string)
	// Ingest takes events as they came: a CloudEvent, an EventBridge event or
	// an S3 notification.
	Ingest func(ctx context.Context, body []byte) ([]Ingested, error)
	// Trigger wakes a policy by hand and returns its decision.
	Trigger func(ctx context.Context, policy string, parameters map[string]any, force bool) (anneal.Decision, error)
	// Explain says in words why a decision is as it is, and what would have
	// to change.
	Explain func(ctx context.Context, decision anneal.Decision) (string, error)
	// Verify replays the journal and compares every decision.
	Verify func(ctx context.Context) (any, error)
	// History returns the history of the execution of a run, in the shape of
	// Step Functions' GetExecutionHistory.
	History func(ctx context.Context, run anneal.Run) (any, error)
	// Policies describes the loaded policies.
	Policies func() any
	// Stop ends a run.
	Stop func(ctx context.Context, run, cause string) error
	// Metrics serves /metrics.
	Metrics http.Handler

	Executions
}

// Ingested is what became of one event handed in.
type Ingested struct {
	ID        string `json:"id"`
	Duplicate bool   `json:"duplicate"`
}

// An Error is a refusal with the status it is answered with.
type Error struct {
	Status  int    `json:"-"`
	Message string `json:"error"`
}

func (e *Error) Error() string { return e.Message }

// Refuse makes an [Error].
func Refuse(status int, format string, args ...any) error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

type handler struct {
	Config
	view view
}

// New returns the handler of everything under /.
func New(cfg Config) http.Handler {
	h := &handler{Config: cfg, view: view{cfg.Journal}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.HandleFunc("GET /api/v1/{noun}", h.answer(h.list))
	mux.HandleFunc("GET /api/v1/{noun}/{id...}", h.answer(h.show))
	mux.HandleFunc("GET /api/v1/policies", h.answer(h.policies))
	mux.HandleFunc("GET /api/v1/explain/{decision}", h.explain)
	mux.HandleFunc("GET /api/v1/history/{run}", h.answer(h.history))
	mux.HandleFunc("POST /api/v1/runs/{run}/stop", h.answer(h.stop))
	mux.HandleFunc("POST /api/v1/events", h.answer(h.ingest))
	mux.HandleFunc("POST /api/v1/policies/{policy}/trigger", h.answer(h.trigger))
	mux.HandleFunc("POST /api/v1/decisions/verify", h.answer(h.verify))
	h.executionRoutes(mux)
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", cfg.Metrics)
	}
	return sameOrigin(mux)
}

// sameOrigin refuses what a foreign page in a browser could send to a server
// on loopback: a name that is not ours (DNS rebinding), and a write that
// another origin began.
func sameOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			fail(w, Refuse(http.StatusMisdirectedRequest, "host %q is not this server (want localhost or a loopback address)", r.Host))
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" && r.Method != http.MethodGet {
			if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
				fail(w, Refuse(http.StatusForbidden, "origin %q may not write here", origin))
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// answer turns a function that returns a value or an error into a handler.
func (h *handler) answer(f func(w http.ResponseWriter, r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(w, r)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPost && r.URL.Path == "/api/v1/events" {
			w.WriteHeader(http.StatusAccepted)
		}
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil && h.Log != nil {
			h.Log.Debug("answer not written", "err", err)
		}
	}
}

func fail(w http.ResponseWriter, err error) {
	refusal := &Error{Status: http.StatusInternalServerError, Message: err.Error()}
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &refusal):
	case errors.Is(err, journal.ErrNotFound):
		refusal.Status = http.StatusNotFound
	case errors.As(err, &big):
		refusal = &Error{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", big.Limit)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		refusal = &Error{http.StatusRequestTimeout, "the body did not come in time"}
	case errors.Is(err, journal.ErrFull): // what was not taken may be sent again
		refusal.Status = http.StatusInsufficientStorage
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(refusal.Status)
	json.NewEncoder(w).Encode(refusal)
}

func (h *handler) readyz(w http.ResponseWriter, r *http.Request) {
	ok, parts := true, map[string]string(nil)
	if h.Ready != nil {
		ok, parts = h.Ready()
	}
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(struct {
		Ready bool              `json:"ready"`
		Parts map[string]string `json:"parts,omitempty"`
	}{ok, parts})
}

func (h *handler) list(w http.ResponseWriter, r *http.Request) (any, error) {
	q := query{limit: 100, policy: r.URL.Query().Get("policy")}
	for name, into := range map[string]*uint64{"limit": &q.limit, "cursor": &q.cursor} {
		if s := r.URL.Query().Get(name); s != "" {
			n, err := strconv.ParseUint(s, 10, 64)
			if err != nil {
				return nil, Refuse(http.StatusBadRequest, "%s %q: want a whole number", name, s)
			}
			*into = n
		}
	}
	items, next, err := h.view.list(r.Context(), r.PathValue("noun"), q)
	if err != nil {
		return nil, err
	}
	if next != 0 {
		w.Header().Set(Cursor, strconv.FormatUint(next, 10))
	}
	return items, nil
}

func (h *handler) show(w http.ResponseWriter, r *http.Request) (any, error) {
	return h.view.show(r.Context(), r.PathValue("noun"), r.PathValue("id"))
}

func (h *handler) policies(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.Policies == nil {
		return nil, needsDaemon("policies")
	}
	return h.Policies(), nil
}

func (h *handler) explain(w http.ResponseWriter, r *http.Request) {
	text, err := h.explanation(r.Context(), r.PathValue("decision"))
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, text)
}

func (h *handler) explanation(ctx context.Context, id string) (string, error) {
	if h.Explain == nil {
		return "", needsDaemon("explain")
	}
	record, err := h.Journal.Find(ctx, kindDecision, id)
	if err != nil {
		return "", h.view.notFound(err, "decision", id)
	}
	var d anneal.Decision
	if err := json.Unmarshal(record.Data, &d); err != nil {
		return "", fmt.Errorf("read decision %s: %w", id, err)
	}
	return h.Explain(ctx, d)
}

func (h *handler) history(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.History == nil {
		return nil, needsDaemon("history")
	}
	run, err := h.view.run(r.Context(), r.PathValue("run"))
	if err != nil {
		return nil, err
	}
	return h.History(r.Context(), run)
}

func (h *handler) stop(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.Stop == nil {
		return nil, needsDaemon("stop")
	}
	var body struct {
		Cause string `json:"cause"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	run, err := h.view.run(r.Context(), r.PathValue("run"))
	if err != nil {
		return nil, err
	}
	if run.Status.Ended() {
		return nil, Refuse(http.StatusConflict, "run %s has ended: it is %s", run.ID, run.Status)
	}
	if err := h.Stop(r.Context(), run.ID, body.Cause); err != nil {
		return nil, err
	}
	return h.view.run(r.Context(), run.ID)
}

func (h *handler) ingest(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.Ingest == nil {
		return nil, needsDaemon("taking events")
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	return h.Ingest(r.Context(), body)
}

func (h *handler) trigger(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.Trigger == nil {
		return nil, needsDaemon("trigger")
	}
	var body struct {
		Parameters map[string]any `json:"parameters"`
		Force      bool           `json:"force"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	return h.Trigger(r.Context(), r.PathValue("policy"), body.Parameters, body.Force)
}

func (h *handler) verify(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.Verify == nil {
		return nil, needsDaemon("verify")
	}
	return h.Verify(r.Context())
}

func needsDaemon(what string) error {
	return Refuse(http.StatusServiceUnavailable, "%s needs a running daemon (set ANNEAL_SERVER or start `anneal serve`)", what)
}
