package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/anneal-ml/anneal"
)

// Executions is what people can do with the executions of runs. Each may be nil,
// as in [Config].
type Executions struct {
	// Redrive goes on with a run that did not end well.
	Redrive func(ctx context.Context, run string) (anneal.Run, error)
	// Logs lists what the local work of a run printed, the oldest first, and
	// OpenLog opens one of them by its effect.
	Logs    func(ctx context.Context, run anneal.Run) (any, error)
	OpenLog func(ctx context.Context, run anneal.Run, effect string) (io.ReadCloser, error)
	// Tell tells of a task that waits for its token.
	Tell func(ctx context.Context, told Told) error
}

// A Told is what is told of a task by its token, as with SendTaskSuccess,
// SendTaskFailure and SendTaskHeartbeat.
type Told struct {
	What   string          `json:"-"` // success, failure or heartbeat
	Token  string          `json:"taskToken"`
	Output json.RawMessage `json:"output"` // of a success; a string is the text of it
	Error  string          `json:"error"`  // of a failure
	Cause  string          `json:"cause"`
}

func (h *handler) executionRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /api/v1/runs/{run}/redrive", h.answer(h.redrive))
	mux.HandleFunc("GET /api/v1/logs/{run}", h.answer(h.logs))
	mux.HandleFunc("GET /api/v1/logs/{run}/{effect}", h.log)
	mux.HandleFunc("POST /api/v1/tasks/{what}", h.answer(h.tell))
}

func (h *handler) redrive(_ http.ResponseWriter, r *http.Request) (any, error) {
	if h.Redrive == nil {
		return nil, needsDaemon("redrive")
	}
	run, err := h.view.run(r.Context(), r.PathValue("run"))
	if err != nil {
		return nil, err
	}
	return h.Redrive(r.Context(), run.ID)
}

func (h *handler) logs(_ http.ResponseWriter, r *http.Request) (any, error) {
	if h.Logs == nil {
		return nil, needsDaemon("logs")
	}
	run, err := h.view.run(r.Context(), r.PathValue("run"))
	if err != nil {
		return nil, err
	}
	return h.Logs(r.Context(), run)
}

// log is one log as text. What a job prints may be anything, so a browser must
// not take it for a page.
func (h *handler) log(w http.ResponseWriter, r *http.Request) {
	text, err := h.openLog(r)
	if err != nil {
		fail(w, err)
		return
	}
	defer text.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if _, err := io.Copy(w, text); err != nil && h.Log != nil {
		h.Log.Debug("answer not written", "err", err)
	}
}

func (h *handler) openLog(r *http.Request) (io.ReadCloser, error) {
	if h.OpenLog == nil {
		return nil, needsDaemon("logs")
	}
	run, err := h.view.run(r.Context(), r.PathValue("run"))
	if err != nil {
		return nil, err
	}
	return h.OpenLog(r.Context(), run, r.PathValue("effect"))
}

func (h *handler) tell(_ http.ResponseWriter, r *http.Request) (any, error) {
	told := Told{What: r.PathValue("what")}
	switch told.What {
	case "success", "failure", "heartbeat":
	default:
		return nil, Refuse(http.StatusNotFound, "a task can be told success, failure or heartbeat, not %q", told.What)
	}
	if h.Tell == nil {
		return nil, needsDaemon(fmt.Sprintf("tasks %s", told.What))
	}
	if err := decode(r, &told); err != nil {
		return nil, err
	}
	if bytes.HasPrefix(told.Output, []byte(`"`)) {
		var text string
		if err := json.Unmarshal(told.Output, &text); err != nil {
			return nil, Refuse(http.StatusBadRequest, "the output is not as expected: %v", err)
		}
		told.Output = json.RawMessage(text)
	}
	return struct{}{}, h.Tell(r.Context(), told)
}
