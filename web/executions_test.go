package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
	"github.com/anneal-ml/anneal/web"
)

func TestExecutions(t *testing.T) {
	j := open(t, [3]string{"run", "p-1", `{"id":"p-1","status":"FAILED","started":"2026-01-01T00:00:00Z"}`})
	var told []string
	h := web.New(web.Config{Journal: j, Executions: web.Executions{
		Redrive: func(_ context.Context, run string) (anneal.Run, error) {
			return anneal.Run{ID: run, Redrives: 1}, nil
		},
		Logs: func(_ context.Context, run anneal.Run) ([]tasks.Log, error) {
			return []tasks.Log{{Execution: run.ID, State: "Train"}}, nil
		},
		OpenLog: func(_ context.Context, run anneal.Run, effect string) (io.ReadCloser, error) {
			if effect != "e1" {
				return nil, web.Refuse(http.StatusNotFound, "no log of %s", effect)
			}
			return io.NopCloser(strings.NewReader("<b>one</b>\n")), nil
		},
		Tell: func(_ context.Context, x web.Told) error {
			told = append(told, fmt.Sprintf("%s %s %s %s %s", x.What, x.Token, x.Output, x.Error, x.Cause))
			if x.Token == "late" {
				return web.Refuse(http.StatusConflict, "TaskTimedOut: late")
			}
			return nil
		},
	}})
	tests := []struct {
		method, path, body string
		status             int
		answer             string // is in it
	}{
		{"POST", "/api/v1/runs/p-1/redrive", "", 200, `"redrives":1`},
		{"POST", "/api/v1/runs/p-2/redrive", "", 404, `no run \"p-2\"`},
		{"GET", "/api/v1/runs/p-1/logs", "", 200, `"execution":"p-1","state":"Train"`},
		{"GET", "/api/v1/runs/p-2/logs", "", 404, `no run \"p-2\"`},
		{"GET", "/api/v1/runs/p-1/logs/e1", "", 200, "<b>one</b>\n"},
		{"GET", "/api/v1/runs/p-1/logs/e2", "", 404, "no log of e2"},
		{"POST", "/api/v1/tasks/success", `{"taskToken": "a", "output": "{\"b\": 1}"}`, 200, "{}"},
		{"POST", "/api/v1/tasks/success", `{"taskToken": "a", "output": {"b": 1}}`, 200, "{}"},
		{"POST", "/api/v1/tasks/success", `{"taskToken": "a", "output": null}`, 200, "{}"},
		{"POST", "/api/v1/tasks/failure", `{"taskToken": "a", "error": "E", "cause": "c"}`, 200, "{}"},
		{"POST", "/api/v1/tasks/heartbeat", `{"taskToken": "late"}`, 409, "TaskTimedOut: late"},
		{"POST", "/api/v1/tasks/success", `{"taskToken": "a", "outputs": {}}`, 400, `unknown field \"outputs\"`},
		{"POST", "/api/v1/tasks/success", `{"taskToken": "a", "What": "failure"}`, 400, `unknown field \"What\"`},
		{"POST", "/api/v1/tasks/end", `{}`, 404, "success, failure or heartbeat"},
	}
	for _, tt := range tests {
		w := ask(h, tt.method, tt.path, tt.body)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.answer) {
			t.Errorf("%s %s %s: %d %s, want %d %s", tt.method, tt.path, tt.body, w.Code, w.Body, tt.status, tt.answer)
		}
	}
	want := "success a {\"b\": 1}  |success a {\"b\": 1}  |success a null  |failure a  E c|heartbeat late   "
	if got := strings.Join(told, "|"); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if w := ask(h, "GET", "/api/v1/runs/p-1/logs/e1", ""); w.Header().Get("Content-Type") != "text/plain; charset=utf-8" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a log is served as %v", w.Header())
	}

	alone := web.New(web.Config{Journal: j})
	for _, r := range []string{"POST /api/v1/runs/p-1/redrive", "GET /api/v1/runs/p-1/logs", "GET /api/v1/runs/p-1/logs/e1", "POST /api/v1/tasks/success"} {
		method, path, _ := strings.Cut(r, " ")
		if w := ask(alone, method, path, ""); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s without a daemon: %d %s", r, w.Code, w.Body)
		}
	}
	failing := web.New(web.Config{Journal: j, Executions: web.Executions{Tell: func(context.Context, web.Told) error { return errors.New("disk") }}})
	if w := ask(failing, "POST", "/api/v1/tasks/success", `{"taskToken": "a"}`); w.Code != 500 {
		t.Errorf("a broken daemon answers %d", w.Code)
	}
}
