package sfnapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
)

// kindLogged is a [logged].
const kindLogged = "sfn-logged"

// A logged says from which record on lines may not be written yet.
type logged struct {
	Next uint64 `json:"next"`
}

// A LogLine is one event of an execution, as the service logs it.
type LogLine struct {
	Group   string // ARN of the log group, without the last :*
	Machine string // name of the state machine
	Time    time.Time
	Message []byte // JSON
}

// A logging is what a state machine's logging configuration comes to.
type logging struct {
	Group string `json:"group"`
	Level string `json:"level"`
	Data  bool   `json:"data,omitempty"`
}

// loggingOf reads the configuration that checkLogging left; nil: nothing is
// logged.
func loggingOf(set json.RawMessage) *logging {
	var in struct {
		Level        string `json:"level"`
		Data         bool   `json:"includeExecutionData"`
		Destinations []struct {
			Group struct {
				ARN string `json:"logGroupArn"`
			} `json:"cloudWatchLogsLogGroup"`
		} `json:"destinations"`
	}
	if len(set) == 0 || json.Unmarshal(set, &in) != nil || in.Level == "OFF" || len(in.Destinations) == 0 {
		return nil
	}
	return &logging{strings.TrimSuffix(in.Destinations[0].Group.ARN, ":*"), in.Level, in.Data}
}

// logs reports whether an event of a type is logged.
func (l *logging) logs(kind asl.EventType) bool {
	k := string(kind)
	failure := strings.HasSuffix(k, "Failed") || strings.HasSuffix(k, "TimedOut") || strings.HasSuffix(k, "Aborted")
	switch l.Level {
	case "ALL":
		return true
	case "ERROR":
		return failure || k == "FailStateEntered"
	}
	return failure && strings.HasPrefix(k, "Execution") // FATAL
}

// mayLog says whether the record of a start may have a logging configuration: most
// have not.
func mayLog(r journal.Record) bool { return bytes.Contains(r.Data, []byte(`"logging":`)) }

// startLogs is where the execution logs whose start a record is; nil: nowhere.
func startLogs(r journal.Record) (*logging, error) {
	if !mayLog(r) {
		return nil, nil
	}
	var b start
	if err := json.Unmarshal(r.Data, &b); err != nil {
		return nil, fmt.Errorf("read start in record %d: %w", r.Seq, err)
	}
	return loggingOf(b.Logging), nil
}

// applyLogs takes the next record, for what [Server.WriteLogs] begins with.
func (f *Fold) applyLogs(r journal.Record) error {
	switch r.Kind {
	case KindExecution:
		l, err := startLogs(r)
		if err != nil || l == nil {
			return err
		}
		if f.Logs == nil {
			f.Logs = map[string]*logging{}
		}
		f.Logs[r.Key] = l
		f.Unlogged = cmp.Or(f.Unlogged, r.Seq)
	case kindLogged:
		var at logged
		if err := json.Unmarshal(r.Data, &at); err != nil {
			return fmt.Errorf("read record %d of what was logged: %w", r.Seq, err)
		}
		f.Unlogged = at.Next
	case kindTurn:
		if f.Unlogged == 0 || !strings.HasPrefix(r.Key, keyStandard) && !strings.HasPrefix(r.Key, keyExpress) {
			return nil
		}
		h, err := engine.HeadOf(r)
		switch {
		case err != nil:
			return err
		case h.Status != asl.StatusRunning:
			delete(f.Logs, r.Key)
		case h.First.Type == asl.ExecutionRedriven:
			f.Logs[r.Key] = nil // what it logs is in the record of its start
		}
	}
	return nil
}

const (
	mostUnwritten = 512                    // lines that are gathered before they are written
	gathered      = 200 * time.Millisecond // or so long
	// mostUnread is how many records without a line may be read again after a crash.
	mostUnread = 8192
)

// A batch is what was read of the journal up to a record.
type batch struct {
	seq   uint64
	lines []LogLine
}

// WriteLogs writes the lines of executions that log, until ctx ends. How far it came is
// recorded after they are written: a crash loses none, and the newest may be written
// again.
func (s *Server) WriteLogs(ctx context.Context) error {
	if s.cfg.Write == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	queue := make(chan batch, 64)
	wg.Go(func() {
		for {
			var all batch
			select {
			case all = <-queue:
			case <-ctx.Done():
				return
			}
			for enough := time.After(gathered); len(all.lines) < mostUnwritten && enough != nil; {
				select {
				case next := <-queue:
					all = batch{next.seq, append(all.lines, next.lines...)}
				case <-enough:
					enough = nil
				case <-ctx.Done():
					return
				}
			}
			if err := s.write(ctx, all); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "how far executions are logged is not recorded", "err", err)
			}
		}
	})
	return s.readLines(ctx, func(b batch) bool {
		select {
		case queue <- b:
			return true
		case <-ctx.Done():
			return false
		}
	})
}

// write writes lines, trying again until ctx ends, and records that they are.
func (s *Server) write(ctx context.Context, b batch) error {
	for wait := time.Second; len(b.lines) > 0; wait = min(2*wait, time.Minute) {
		err := s.cfg.Write(ctx, b.lines)
		if err == nil {
			break
		}
		s.log.WarnContext(ctx, "executions are not logged, trying again", "lines", len(b.lines), "err", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
	data, err := json.Marshal(logged{b.seq + 1})
	if err != nil {
		return fmt.Errorf("write how far executions are logged: %w", err)
	}
	_, err = s.cfg.Journal.Append(ctx, journal.Record{Kind: kindLogged, Key: "lines", Data: data})
	return err
}

// readLines gives the lines of each record that has some, and now and then none, until
// ctx ends or give says no.
func (s *Server) readLines(ctx context.Context, give func(batch) bool) error {
	open := maps.Clone(s.fold.Logs) // which nobody changes any more
	if open == nil {
		open = map[string]*logging{}
	}
	var ever atomic.Bool // an execution logs, or did
	ever.Store(s.fold.Unlogged > 0)
	from := cmp.Or(s.fold.Unlogged, s.from)
	runs := map[string]*logging{} // of children, by the ARN of their map run
	given := from
	wanted := func(r journal.Record) bool {
		return r.Kind == kindTurn && ever.Load() || r.Kind == KindExecution && mayLog(r)
	}
	for r, err := range s.cfg.Journal.Follow(ctx, from, wanted, KindExecution, kindTurn) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow the journal: %w", err)
		}
		var lines []LogLine
		switch r.Kind {
		case KindExecution:
			l, err := startLogs(r)
			if err != nil {
				return err
			}
			if l != nil {
				open[r.Key] = l
				ever.Store(true)
			}
		case kindTurn:
			if lines, err = s.linesOf(ctx, r, open, runs); err != nil {
				return err
			}
		}
		if ever.Load() && (len(lines) > 0 || r.Seq-given > mostUnread) {
			if !give(batch{r.Seq, lines}) {
				return nil
			}
			given = r.Seq
		}
	}
	return nil
}

// linesOf are the lines of one turn. open are the executions that log, as far as the
// journal is read; an unknown one of before this process is looked up.
func (s *Server) linesOf(ctx context.Context, r journal.Record, open, runs map[string]*logging) ([]LogLine, error) {
	h, err := engine.HeadOf(r)
	if err != nil {
		return nil, err
	}
	ours := strings.HasPrefix(r.Key, keyStandard) || strings.HasPrefix(r.Key, keyExpress)
	l := open[r.Key]
	switch {
	case ours && l == nil && (r.Seq < s.from || h.First.Type == asl.ExecutionRedriven):
		if l, err = s.logsOf(ctx, r.Key); err != nil {
			return nil, err
		}
		if l != nil {
			open[r.Key] = l
		}
	case !ours && !h.Waits: // of a policy
		return nil, nil
	}
	if h.Status != asl.StatusRunning {
		delete(open, r.Key)
	}
	if ours && l == nil {
		return nil, nil
	}
	t, err := engine.ToldBy(r)
	if err != nil {
		return nil, err
	}
	if run := t.Execution.MapRun; !ours && run != "" {
		known := false
		if l, known = runs[run]; !known {
			if l, err = s.parentLogs(ctx, run); err != nil {
				return nil, err
			}
			if len(runs) >= 1000 {
				clear(runs)
			}
			runs[run] = l
		}
	}
	if l == nil {
		return nil, nil
	}
	var lines []LogLine
	for _, e := range t.Events {
		if !l.logs(e.Type) {
			continue
		}
		message, err := l.message(t, e)
		if err != nil {
			return nil, err
		}
		name, _, _ := strings.Cut(t.Execution.StateMachineName, "/")
		lines = append(lines, LogLine{Group: l.Group, Machine: name, Time: e.Timestamp, Message: message})
	}
	return lines, nil
}

// logsOf is where an execution logs that was started long ago.
func (s *Server) logsOf(ctx context.Context, key string) (*logging, error) {
	r, err := s.cfg.Journal.Find(ctx, KindExecution, key)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read start of %s: %w", key, err)
	}
	return startLogs(r)
}

// parentLogs is where the execution logs that a map run belongs to, in whatever depth.
func (s *Server) parentLogs(ctx context.Context, run string) (*logging, error) {
	for run != "" {
		r, err := s.cfg.Engine.DescribeMapRun(ctx, run)
		if errors.Is(err, engine.ErrNoMapRun) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if l, err := s.logsOf(ctx, r.Execution); err != nil || l != nil {
			return l, err
		}
		x, err := s.cfg.Engine.Describe(ctx, r.Execution)
		if errors.Is(err, orchestrator.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		run = x.MapRun
	}
	return nil, nil
}

// maxMessage is how long a line may be, in bytes; in a longer one inputs and outputs
// are left out, and it says so.
const maxMessage = 250 << 10

// message is the JSON of an event as the service logs it.
func (l *logging) message(t engine.Told, e asl.HistoryEvent) ([]byte, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("write event: %w", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	details := map[string]json.RawMessage{}
	for name, raw := range members {
		if strings.HasSuffix(name, "EventDetails") {
			if err := json.Unmarshal(raw, &details); err != nil {
				return nil, fmt.Errorf("read details: %w", err)
			}
		}
	}
	if !l.Data {
		for _, name := range []string{"input", "output", "parameters", "assignedVariables", "inputDetails", "outputDetails", "assignedVariablesDetails"} {
			delete(details, name)
		}
	}
	line := struct {
		ID        string                     `json:"id"`
		Type      asl.EventType              `json:"type"`
		Details   map[string]json.RawMessage `json:"details"`
		Previous  string                     `json:"previous_event_id"`
		Timestamp string                     `json:"event_timestamp"`
		Execution string                     `json:"execution_arn"`
		Redrives  string                     `json:"redrive_count"`
	}{
		strconv.FormatInt(e.ID, 10), e.Type, details, strconv.FormatInt(e.PreviousID, 10),
		strconv.FormatInt(e.Timestamp.UnixMilli(), 10), t.Execution.ARN, strconv.FormatInt(t.Redrives, 10),
	}
	out, err := json.Marshal(line)
	if err == nil && len(out) > maxMessage {
		cut := json.RawMessage(`{"truncated":true}`)
		for _, name := range []string{"input", "output", "parameters", "assignedVariables"} {
			if details[name] != nil {
				delete(details, name)
				details[name+"Details"] = cut
			}
		}
		out, err = json.Marshal(line)
	}
	if err != nil {
		return nil, fmt.Errorf("write line: %w", err)
	}
	return out, nil
}
