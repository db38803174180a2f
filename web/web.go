// Package web shows the journal over HTTP, as pages for people and as JSON for
// programs, and takes what both ask of the daemon: triggers, events, pauses.
//
// Reading needs the journal alone, so the same handler serves a running daemon
// and, read-only, a journal folder that no daemon holds. Everything is read
// from committed records; nothing is kept beside them. A list is an array,
// newest first, with the cursor of the next page in the header Anneal-Cursor.
// What the API has is one table ([handler.routes]), from which it is served
// and described: /api/v1/openapi.json cannot have less.
//
// Where [Config.Tokens] is empty everybody is answered, but only under a name
// of this machine, so that a page of another site gets nothing. Else nothing
// is answered without a token but /livez, /readyz, the form that takes one,
// and [Config.Hooks], whose requests are signed. The pages load nothing from
// elsewhere and work without scripts.
//
// The package decides nothing: what it is asked to do it hands to the functions
// in [Config], which answer once what they did is durable.
package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/policy"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 1 << 20

// Cursor is the header that carries the cursor of a list's next page.
const Cursor = "Anneal-Cursor"

// Config is what a handler needs. Only Journal is required: where a function
// is nil, what needs it answers 503 and says that it needs a running daemon.
type Config struct {
	Journal *journal.Journal
	Log     *slog.Logger // nil: nothing is logged

	// Tokens are those who may ask. None: everybody on this machine.
	Tokens []Token
	// Hooks are served under their exact paths. Each has its own signature
	// and bounds: no token is asked for.
	Hooks map[string]http.Handler

	// Ready says whether the daemon serves, and in what condition its parts are.
	Ready func() (ok bool, parts map[string]string)
	// Ingest takes events as they came: a CloudEvent, an EventBridge event or
	// an S3 notification.
	Ingest func(ctx context.Context, body []byte) ([]Ingested, error)
	// Replay takes an event that was parked in again.
	Replay func(ctx context.Context, event string) ([]Ingested, error)
	// Trigger wakes a policy by hand and returns its decision.
	Trigger func(ctx context.Context, policy string, parameters map[string]any, force bool) (anneal.Decision, error)
	// Pause has a policy start nothing until it is resumed; Resume ends that.
	// Both return the decision that records it. The note is the person's.
	Pause, Resume func(ctx context.Context, policy, note string) (anneal.Decision, error)
	// Approve answers a decision that asks for approval, Reject says no.
	Approve, Reject func(ctx context.Context, decision, note string) (anneal.Decision, error)
	// Explain says in words why a decision is as it is, and what would have
	// to change.
	Explain func(ctx context.Context, decision anneal.Decision) (string, error)
	// Verify replays the journal and compares every decision.
	Verify func(ctx context.Context) (Verification, error)
	// History returns the history of the execution of a run, in the shape of
	// Step Functions' GetExecutionHistory.
	History func(ctx context.Context, run anneal.Run) ([]asl.HistoryEvent, error)
	// Policies describes the loaded policies, by name.
	Policies func() []Policy
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

// Policy is a loaded policy and how it stands.
type Policy struct {
	Name     string             `json:"name"`
	Mode     policy.Mode        `json:"mode"`
	Paused   string             `json:"paused,omitempty"` // why, where a person paused it
	Model    string             `json:"model"`            // model group
	Revision string             `json:"revision"`
	Champion string             `json:"champion,omitempty"` // model ID
	Metrics  map[string]float64 `json:"metrics,omitempty"`  // the champion's
	Objects  int                `json:"objects"`            // kept for windows and trainings
	Waiting  int                `json:"waiting"`            // wakes not decided yet
	Rows     int64              `json:"rows"`               // since the last training
	OpenRuns []string           `json:"openRuns"`
	NextWake *time.Time         `json:"nextWake,omitempty"`
	Gathered []policy.Gathered  `json:"gathered,omitempty"` // what its debounces have gathered
	Asks     string             `json:"asks,omitempty"`     // the decision that waits for approval
}

// A Verification is what making every decision again has shown.
type Verification struct {
	Decisions  int          `json:"decisions"`
	Agreed     int          `json:"agreed"`
	Skipped    int          `json:"skipped"` // made without a policy, so there is nothing to compare
	Divergent  []Divergence `json:"divergent"`
	LastRecord uint64       `json:"lastRecord"`
}

// A Divergence is a decision that comes out otherwise when it is made again.
type Divergence struct {
	Decision string          `json:"decision"`
	Record   uint64          `json:"record"`
	Problem  string          `json:"problem,omitempty"`
	Recorded json.RawMessage `json:"recorded,omitempty"`
	Again    json.RawMessage `json:"again,omitempty"`
}

type handler struct {
	Config
	view     view
	latest   latest
	sessions sessions
	live     chan struct{} // one for each page that is kept up to date
	api      []route
}

// New returns the handler of everything under /.
func New(cfg Config) http.Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := &handler{Config: cfg, view: view{cfg.Journal}, live: make(chan struct{}, maxLive)}
	rand.Read(h.sessions.key[:])
	h.api = h.routes()
	mux := http.NewServeMux()
	for _, r := range h.api {
		mux.HandleFunc(r.method+" "+r.path, h.serve(r))
	}
	mux.HandleFunc("GET /api/v1/openapi.json", h.openapi)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.readyz)
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", cfg.Metrics)
	}
	h.pages(mux)
	inner := sameOrigin(len(cfg.Tokens) > 0, h.authenticate(h.known(mux)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hook, ok := cfg.Hooks[r.URL.Path]; ok {
			hook.ServeHTTP(w, r)
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// sameOrigin refuses what a foreign page in a browser could send: a write that
// another origin began, and, where nobody has to say who they are, a name that
// is not of this machine (DNS rebinding).
func sameOrigin(named bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if ip := net.ParseIP(host); !named && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			Fail(w, Refuse(http.StatusMisdirectedRequest, "host %q is not this server (want localhost or a loopback address)", r.Host))
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" && r.Method != http.MethodGet {
			if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
				Fail(w, Refuse(http.StatusForbidden, "origin %q may not write here", origin))
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// known answers what mux has no path or method for in the form of every other
// refusal: a browser with a page.
func (h *handler) known(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		var unknown outcome
		next.ServeHTTP(&unknown, r)
		switch unknown.status {
		case http.StatusMethodNotAllowed:
			allow := unknown.Header().Get("Allow")
			w.Header().Set("Allow", allow)
			Fail(w, Refuse(unknown.status, "method %s: want %s", r.Method, allow))
		case http.StatusNotFound:
			if asksPage(r) {
				h.refused(w, r, Refuse(http.StatusNotFound, "nothing is at %s", r.URL.Path))
				return
			}
			fallthrough
		default:
			Fail(w, Refuse(http.StatusNotFound, "nothing is at %s (see /api/v1/openapi.json)", r.URL.Path))
		}
	})
}

// An outcome is the head of an answer whose body is not wanted.
type outcome struct {
	header http.Header
	status int
}

func (o *outcome) Header() http.Header {
	if o.header == nil {
		o.header = http.Header{}
	}
	return o.header
}
func (o *outcome) WriteHeader(status int)      { o.status = status }
func (o *outcome) Write(p []byte) (int, error) { return len(p), nil }

func (h *handler) readyz(w http.ResponseWriter, r *http.Request) {
	ok, parts := true, map[string]string(nil)
	if h.Ready != nil {
		ok, parts = h.Ready()
	}
	if who(r) == nil { // the names of what is here are not for everybody
		parts = nil
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
