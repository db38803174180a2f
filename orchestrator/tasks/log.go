package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
)

// A Log is what is kept of what the work of one effect printed: standard output
// and error of a job, standard error of a function. Its size is bounded by the
// beginning and the end, as in [job.Spec].
type Log struct {
	Execution string     `json:"execution"` // by which the engine knows it
	State     string     `json:"state"`
	Attempt   int        `json:"attempt"` // 0 for the first
	Effect    string     `json:"effect"`
	Status    string     `json:"status"` // running, or how it ended: exit status 1, signal: killed, lost, …
	Started   *time.Time `json:"started"`
	Ended     *time.Time `json:"ended"` // nil while it runs, and where nobody knows
	Bytes     int64      `json:"bytes"` // so far
}

// LogOf says what there is of an effect in the folder of jobs; false where it
// has no log: it is no local work, has not begun, or was pruned.
func LogOf(dir string, e asl.Effect) (Log, bool, error) {
	l := Log{Execution: e.Execution, State: e.State, Attempt: e.Attempt, Effect: e.ID, Status: "running"}
	folder, err := effectFolder(dir, e.ID)
	if err != nil {
		return l, false, err
	}
	info, err := os.Stat(filepath.Join(folder, job.Log))
	if errors.Is(err, fs.ErrNotExist) {
		return l, false, nil
	}
	if err != nil {
		return l, false, err
	}
	l.Bytes = info.Size()
	state, o, err := job.Describe(folder)
	if data, e := os.ReadFile(filepath.Join(folder, endedFile)); err == nil && state == job.New && e == nil {
		state, err = job.Ended, json.Unmarshal(data, &o) // a container
	}
	if err != nil || state != job.Ended {
		return l, true, err
	}
	if l.Status = ending(o); !o.Started.IsZero() {
		l.Started = &o.Started
	}
	if !o.Ended.IsZero() {
		l.Ended = &o.Ended
	}
	return l, true, nil
}

// ending is how a command ended, in words.
func ending(o job.Outcome) string {
	switch {
	case o.Lost:
		return "lost"
	case o.Problem != "":
		return o.Problem
	case o.Stopped:
		return "stopped"
	case o.TimedOut:
		return "timed out"
	case o.Signal != "":
		return "signal: " + o.Signal
	}
	return fmt.Sprintf("exit status %d", o.Code)
}

// OpenLog opens the log of an effect in the folder of jobs.
func OpenLog(dir, effect string) (io.ReadCloser, error) {
	folder, err := effectFolder(dir, effect)
	if err != nil {
		return nil, err
	}
	return os.Open(filepath.Join(folder, job.Log))
}

// Nested is the nested execution that an effect waits for, by the key that the
// engine knows it by; empty if it is none.
func Nested(dir, effect string) (string, error) {
	folder, err := effectFolder(dir, effect)
	if err != nil {
		return "", err
	}
	n, err := readNoted(folder)
	return n.Child, err
}

func effectFolder(dir, effect string) (string, error) {
	if filepath.Base(effect) != effect || effect == "" || effect[0] == '.' {
		return "", fmt.Errorf("%q is no effect ID", effect)
	}
	return filepath.Join(dir, effect), nil
}

// Prune removes the folders of effects of these executions, which have ended and
// are not asked about any more, and what is older than a day of effects that
// were stopped before they began. Jobs that run are kept, and those that nobody
// waits for until [Tasks.Run] has seen them to their end. n is how many it removed.
func (t *Tasks) Prune(executions []string) (n int, err error) {
	gone := map[string]bool{}
	for _, name := range executions {
		gone[name] = true
	}
	for _, p := range []struct {
		age  time.Duration
		goes func(execution string) bool
	}{
		{time.Second, func(execution string) bool { return gone[execution] }},
		{24 * time.Hour, func(execution string) bool { return execution == "" }},
	} {
		k, problem := job.Prune(t.cfg.Dir, time.Now().Add(-p.age), func(effect, execution string) bool {
			_, err := os.Stat(t.listed(effect))
			return err == nil || !p.goes(execution)
		})
		n, err = n+k, errors.Join(err, problem)
	}
	return n, err
}
