package log_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/notify/log"
	"github.com/anneal-ml/anneal/notify/notifytest"
)

// A reader reads the log, a line a notice.
type reader struct{ log bytes.Buffer }

func (r *reader) Channel() notify.Channel {
	return log.New(slog.New(slog.NewTextHandler(&r.log, nil)))
}

func (r *reader) Told(t *testing.T) (lines []string) {
	for line := range strings.Lines(r.log.String()) {
		lines = append(lines, line)
	}
	return lines
}

func TestContract(t *testing.T) {
	notifytest.Test(t, func(t *testing.T) notifytest.Recipient { return &reader{} })
}

func TestLine(t *testing.T) {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	ended := at.Add(90 * time.Second)
	var b bytes.Buffer
	channel := log.New(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	run := anneal.Run{ID: "p-1", Policy: "p", Model: "churn", Started: at, Ended: &ended, Status: anneal.StatusFailed, Error: "States.Runtime", Cause: "no such path"}
	for _, notice := range []anneal.Notice{notify.Failed("team", run), notify.Message("team", "effect", "", "done", at)} {
		if err := channel.Notify(t.Context(), notice); err != nil {
			t.Fatal(err)
		}
	}
	want := `level=WARN msg=notice kind=failed subject="churn: a run failed" text="Run p-1 of policy p failed after 1m30s.\nStates.Runtime: no such path" channel=team cause=p-1 policy=p model=churn
level=INFO msg=notice kind=message subject=done text=done channel=team cause=effect
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
