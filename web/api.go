package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
)

// A route is one operation of the API: how it is served, and what
// /api/v1/openapi.json says of it.
type route struct {
	method, path string // path as in OpenAPI and in http.ServeMux
	about        string
	query        []string // names of parameters, see parameterForms
	body         any      // a value of the type that is sent; nil: none
	answer       any      // a value of the type that is answered; a string is plain text
	status       int      // of an answer that is no refusal; 0: 200
	handle       func(w http.ResponseWriter, r *http.Request) (any, error)
}

// The bodies of requests.
type (
	// A TriggerRequest wakes a policy by hand.
	TriggerRequest struct {
		Parameters map[string]any `json:"parameters,omitempty"` // as spec.parameters has them
		Force      bool           `json:"force,omitempty"`      // skips rules, never guards
	}
	// A NoteRequest says why, in the person's words.
	NoteRequest struct {
		Note string `json:"note,omitempty"`
	}
	// A StopRequest says why, for the execution's history.
	StopRequest struct {
		Cause string `json:"cause,omitempty"`
	}
	// An EventRequest is an event as it came: a CloudEvent, an EventBridge
	// event or an S3 notification.
	EventRequest map[string]any
)

// routes is the API.
func (h *handler) routes() []route {
	const v1 = "/api/v1/"
	all := []route{}
	for _, n := range []struct {
		noun, about string
		item        any
	}{
		{"events", "what happened outside", anneal.Event{}},
		{"signals", "what was measured", anneal.Signal{}},
		{"decisions", "what each policy decided about each event, and why", anneal.Decision{}},
		{"runs", "executions of state machines", anneal.Run{}},
		{"models", "what was trained, its metrics and its stage", anneal.Model{}},
		{"notices", "what people were told", anneal.Notice{}},
	} {
		all = append(all,
			route{
				method: "GET", path: v1 + n.noun, about: "List " + n.noun + ", newest first: " + n.about,
				query: append([]string{"limit", "cursor"}, filters[n.noun]...), answer: listOf{n.item}, handle: h.list(n.noun),
			},
			route{method: "GET", path: v1 + n.noun + "/{id}", about: "Show one of the " + n.noun, answer: n.item, handle: h.show(n.noun)},
		)
	}
	return append(all,
		route{method: "GET", path: v1 + "decisions/{id}/explain", about: "Say in words why a decision is as it is, and what would have to change", answer: "", handle: h.explain},
		route{method: "GET", path: v1 + "runs/{id}/history", about: "Show the history of a run's execution, as Step Functions would", answer: []asl.HistoryEvent{}, handle: h.history},
		route{method: "GET", path: v1 + "policies", about: "List the loaded policies and how each stands, by name", answer: []Policy{}, handle: h.policies},
		route{method: "GET", path: v1 + "policies/{policy}", about: "Show one of the loaded policies", answer: Policy{}, handle: h.policy},
		route{method: "POST", path: v1 + "events", about: "Take an event in: a CloudEvent, an EventBridge event or an S3 notification. The answer comes once it is durable", body: EventRequest{}, answer: []Ingested{}, status: http.StatusAccepted, handle: h.ingest},
		route{method: "POST", path: v1 + "policies/{policy}/trigger", about: "Wake a policy by hand and wait for its decision", body: TriggerRequest{}, answer: anneal.Decision{}, handle: h.trigger},
		route{method: "POST", path: v1 + "decisions/verify", about: "Make every decision again and compare", answer: Verification{}, handle: h.verify},
		route{method: "POST", path: v1 + "runs/{id}/stop", about: "Abort an open run and the jobs it started", body: StopRequest{}, answer: anneal.Run{}, handle: h.stop},
		route{method: "POST", path: v1 + "runs/{id}/redrive", about: "Go on with a run that failed, from what failed", answer: anneal.Run{}, handle: h.redrive},
		route{method: "GET", path: v1 + "runs/{id}/logs", about: "List what the local jobs and functions of a run printed, the oldest first", answer: []tasks.Log{}, handle: h.logs},
		route{method: "GET", path: v1 + "runs/{id}/logs/{effect}", about: "Show one of the logs, as text", answer: "", handle: h.log},
		route{method: "POST", path: v1 + "tasks/{what}", about: "Tell of a task that waits for its token: what is success, failure or heartbeat", body: Told{}, answer: struct{}{}, handle: h.tell},
		route{method: "POST", path: v1 + "events/{id}/replay", about: "Take an event that was parked in again", answer: []Ingested{}, status: http.StatusAccepted, handle: h.replay},
		route{method: "POST", path: v1 + "policies/{policy}/pause", about: "Have a policy start nothing until it is resumed", body: NoteRequest{}, answer: anneal.Decision{}, handle: h.steer(h.Pause)},
		route{method: "POST", path: v1 + "policies/{policy}/resume", about: "End a pause", body: NoteRequest{}, answer: anneal.Decision{}, handle: h.steer(h.Resume)},
		route{method: "POST", path: v1 + "decisions/{id}/approve", about: "Let a decision that asks for approval have its run", body: NoteRequest{}, answer: anneal.Decision{}, handle: h.steer(h.Approve)},
		route{method: "POST", path: v1 + "decisions/{id}/reject", about: "Refuse a decision that asks for approval", body: NoteRequest{}, answer: anneal.Decision{}, handle: h.steer(h.Reject)},
	)
}

// listOf is an array of what it holds.
type listOf struct{ item any }

// serve turns a route into a handler.
func (h *handler) serve(of route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := of.handle(w, r)
		if err != nil {
			Fail(w, err)
			return
		}
		if text, ok := v.(string); ok {
			v = io.NopCloser(strings.NewReader(text))
		}
		if text, ok := v.(io.ReadCloser); ok {
			// What a job prints may be anything, so a browser must not take
			// it for a page.
			defer text.Close()
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			if _, err := io.Copy(w, text); err != nil {
				h.Log.Debug("answer not written", "err", err)
			}
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if of.status != 0 {
			w.WriteHeader(of.status)
		}
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			h.Log.Debug("answer not written", "err", err)
		}
	}
}

func (h *handler) list(noun string) func(http.ResponseWriter, *http.Request) (any, error) {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		q, err := parseQuery(noun, r.URL.Query(), time.Now())
		if err != nil {
			return nil, err
		}
		items, next, err := h.view.list(r.Context(), noun, q)
		if err != nil {
			return nil, err
		}
		if next != 0 {
			w.Header().Set(Cursor, makeCursor(noun, next))
		}
		return items, nil
	}
}

func (h *handler) show(noun string) func(http.ResponseWriter, *http.Request) (any, error) {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		return h.view.show(r.Context(), noun, r.PathValue("id"))
	}
}

func (h *handler) policies(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.Policies == nil {
		return nil, needsDaemon("policies")
	}
	return h.Policies(), nil
}

func (h *handler) policy(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.Policies == nil {
		return nil, needsDaemon("policies")
	}
	all, name := h.Policies(), r.PathValue("policy")
	i := slices.IndexFunc(all, func(p Policy) bool { return p.Name == name })
	if i < 0 {
		return nil, Refuse(http.StatusNotFound, "no policy %q is loaded", name)
	}
	return all[i], nil
}

func (h *handler) explain(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.Explain == nil {
		return nil, needsDaemon("explain")
	}
	d, err := find[anneal.Decision](r.Context(), h.view, "decisions", r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return h.Explain(r.Context(), d)
}

func (h *handler) history(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.History == nil {
		return nil, needsDaemon("history")
	}
	run, err := find[anneal.Run](r.Context(), h.view, "runs", r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	events, err := h.History(r.Context(), run)
	if events == nil {
		events = []asl.HistoryEvent{}
	}
	return events, err
}

func (h *handler) stop(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.Stop == nil {
		return nil, needsDaemon("stop")
	}
	var body StopRequest
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	run, err := find[anneal.Run](r.Context(), h.view, "runs", r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if run.Status.Ended() {
		return nil, Refuse(http.StatusConflict, "run %s has ended: it is %s", run.ID, run.Status)
	}
	if err := h.Stop(r.Context(), run.ID, body.Cause); err != nil {
		return nil, err
	}
	return h.view.show(r.Context(), "runs", run.ID)
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

func (h *handler) replay(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.Replay == nil {
		return nil, needsDaemon("replay")
	}
	event, err := find[anneal.Event](r.Context(), h.view, "events", r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if event.Parked == "" {
		return nil, Refuse(http.StatusConflict, "event %s is not parked: it was taken, and is decided on once (`anneal trigger` wakes a policy again)", event.ID)
	}
	return h.Replay(r.Context(), event.ID)
}

func (h *handler) trigger(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.Trigger == nil {
		return nil, needsDaemon("trigger")
	}
	var body TriggerRequest
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	return h.Trigger(r.Context(), r.PathValue("policy"), body.Parameters, body.Force)
}

// steer is what a person says about a policy or a decision, with a note, that
// the policy decides about.
func (h *handler) steer(do func(ctx context.Context, of, note string) (anneal.Decision, error)) func(http.ResponseWriter, *http.Request) (any, error) {
	return func(_ http.ResponseWriter, r *http.Request) (any, error) {
		if do == nil {
			return nil, needsDaemon("this")
		}
		var body NoteRequest
		if err := decode(r, &body); err != nil {
			return nil, err
		}
		id := r.PathValue("id")
		decision, err := do(r.Context(), r.PathValue("policy")+id, body.Note) // one of them is in the path
		if errors.Is(err, journal.ErrNotFound) && id != "" {
			return nil, h.view.notFound(err, "decision", id)
		}
		return decision, err
	}
}

func (h *handler) verify(w http.ResponseWriter, r *http.Request) (any, error) {
	if h.Verify == nil {
		return nil, needsDaemon("verify")
	}
	return h.Verify(r.Context())
}
