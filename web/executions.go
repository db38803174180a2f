package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
)

// Executions is what people can do with the executions of runs. Each may be nil,
// as in [Config].
type Executions struct {
	// Redrive goes on with a run that did not end well.
	Redrive func(ctx context.Context, run string) (anneal.Run, error)
	// Logs lists what the local work of a run printed, the oldest first, and
	// OpenLog opens one of them by its effect.
	Logs    func(ctx context.Context, run anneal.Run) ([]tasks.Log, error)
	OpenLog func(ctx context.Context, run anneal.Run, effect string) (io.ReadCloser, error)
	// Tell tells of a task that waits for its token.
	Tell func(ctx context.Context, told Told) error
}

// A Told is what is told of a task by its token, as with SendTaskSuccess,
// SendTaskFailure and SendTaskHeartbeat.
type Told struct {
	What   string          `json:"-"` // success, failure or heartbeat
	Token  string          `json:"taskToken"`
	Output json.RawMessage `json:"output,omitempty"` // of a success; a string is the text of it
	Error  string          `json:"error,omitempty"`  // of a failure
	Cause  string          `json:"cause,omitempty"`
}

func (h *handler) redrive(_ http.ResponseWriter, r *http.Request) (any, error) {
	if h.Redrive == nil {
		return nil, needsDaemon("redrive")
	}
	run, err := find[anneal.Run](r.Context(), h.view, "runs", r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return h.Redrive(r.Context(), run.ID)
}

func (h *handler) logs(_ http.ResponseWriter, r *http.Request) (any, error) {
	if h.Logs == nil {
		return nil, needsDaemon("logs")
	}
	run, err := find[anneal.Run](r.Context(), h.view, "runs", r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return h.Logs(r.Context(), run)
}

// log is one log as text.
func (h *handler) log(_ http.ResponseWriter, r *http.Request) (any, error) { return h.openLog(r) }

func (h *handler) openLog(r *http.Request) (io.ReadCloser, error) {
	if h.OpenLog == nil {
		return nil, needsDaemon("logs")
	}
	run, err := find[anneal.Run](r.Context(), h.view, "runs", r.PathValue("id"))
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
