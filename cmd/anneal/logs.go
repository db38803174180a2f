package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/cloud"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
	"github.com/anneal-ml/anneal/orchestrator/wire"
)

// A logWriter keeps the lines of executions that log. It is used by one goroutine.
type logWriter interface {
	// write returns when the lines are durable, or never will be.
	write(ctx context.Context, lines []sfnapi.LogLine) error
}

// newLogs chooses where executions are logged.
func (d *daemon) newLogs() {
	settings := d.cfg.Settings.Embedded
	path, set := d.cfg.Settings.LogsFolder()
	if d.wire == nil || set {
		d.logs = &logFolder{path, int64(settings.Logs.Megabytes) << 20}
		return
	}
	service := cloud.Service{
		Name: "CloudWatch Logs", Prefix: "logs", Region: settings.Region, Resource: "the log groups of state machines",
		Remedies: map[string]string{"ResourceNotFoundException": "a log group that a state machine logs to is not there: create it; until then its lines are lost"},
	}
	d.logs = &logGroups{d.wire, service.Watch(d.log), anneal.ID("logs", strconv.FormatInt(time.Now().UnixNano(), 10))[:8], map[string]string{}}
}

// groupsOf are lines by their group, each in their order.
func groupsOf(lines []sfnapi.LogLine) map[string][]sfnapi.LogLine {
	groups := map[string][]sfnapi.LogLine{}
	for _, l := range lines {
		groups[l.Group] = append(groups[l.Group], l)
	}
	return groups
}

// groupName is the name of the log group of an ARN.
func groupName(arn string) string {
	p := strings.SplitN(arn, ":", 7)
	return p[len(p)-1]
}

// A logFolder keeps the lines of a log group in two files, GROUP.jsonl and before it
// GROUP.1.jsonl, which together stay below a size. A line that a crash cut short is
// taken away, for it comes again.
type logFolder struct {
	path string
	most int64 // bytes a group
}

// file is where the newest lines of a group are.
func (f *logFolder) file(group string) string {
	name := url.PathEscape(groupName(group))
	if len(name) > 200 {
		name = anneal.ID(name)
	}
	return filepath.Join(f.path, name+".jsonl")
}

func (f *logFolder) write(_ context.Context, lines []sfnapi.LogLine) error {
	if err := os.MkdirAll(f.path, 0o777); err != nil {
		return err
	}
	groups := groupsOf(lines)
	for _, group := range sortedKeys(groups) {
		for lines := range slices.Chunk(groups[group], 64) { // a line has up to 250 KiB, half of the least file
			if err := f.append(f.file(group), lines); err != nil {
				return fmt.Errorf("log of %s: %w", group, err)
			}
		}
	}
	return nil
}

func (f *logFolder) append(path string, lines []sfnapi.LogLine) (err error) {
	var text bytes.Buffer
	for _, l := range lines {
		text.Write(l.Message)
		text.WriteByte('\n')
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	end, err := wholeLines(file)
	if err != nil {
		return err
	}
	if end > 0 && end+int64(text.Len()) > f.most/2 {
		if err := os.Rename(path, strings.TrimSuffix(path, ".jsonl")+".1.jsonl"); err != nil {
			return err
		}
		return f.append(path, lines)
	}
	if _, err := file.WriteAt(text.Bytes(), end); err != nil {
		return err
	}
	return file.Sync()
}

// wholeLines cuts off what follows the last line that has an end, and says where that
// is.
func wholeLines(file *os.File) (int64, error) {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	var part [4096]byte
	for at := end; at > 0; {
		n := min(at, int64(len(part)))
		if _, err := file.ReadAt(part[:n], at-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part[:n], '\n'); i >= 0 {
			if at-n+int64(i)+1 == end {
				return end, nil
			}
			return at - n + int64(i) + 1, file.Truncate(at - n + int64(i) + 1)
		}
		at -= n
	}
	return 0, file.Truncate(0)
}

// logGroups puts lines into CloudWatch Logs, a stream a state machine and process.
type logGroups struct {
	client    *wire.Client
	condition *cloud.Condition
	process   string            // in the names of streams
	streams   map[string]string // that are there, by group and machine
}

// What CloudWatch Logs takes at once ("PutLogEvents" of its API reference).
const (
	mostPut      = 1_000_000 // bytes, of 1,048,576
	putOverhead  = 26        // bytes a line
	mostPutLines = 10_000
	longestPut   = 24 * time.Hour
)

func (g *logGroups) write(ctx context.Context, lines []sfnapi.LogLine) error {
	groups := groupsOf(lines)
	for _, group := range sortedKeys(groups) {
		machines := map[string][]sfnapi.LogLine{}
		for _, l := range groups[group] {
			machines[l.Machine] = append(machines[l.Machine], l)
		}
		for _, machine := range sortedKeys(machines) {
			if err := g.stream(ctx, groupName(group), machine, machines[machine]); err != nil {
				return fmt.Errorf("log of %s: %w", group, err)
			}
		}
	}
	return nil
}

// stream puts lines into the stream of a machine.
func (g *logGroups) stream(ctx context.Context, group, machine string, lines []sfnapi.LogLine) error {
	slices.SortStableFunc(lines, func(a, b sfnapi.LogLine) int { return a.Time.Compare(b.Time) })
	stream := g.streams[group+" "+machine]
	if stream == "" {
		stream = "states/" + machine + "/" + time.Now().UTC().Format("2006-01-02-15-04") + "/" + g.process
		if err := g.call(ctx, "CreateLogStream", member("LogGroupName", group), member("LogStreamName", stream)); err != nil {
			return lost(err)
		}
		g.streams[group+" "+machine] = stream
	}
	for len(lines) > 0 {
		n, size := 0, 0
		var events []value.Value
		for n < len(lines) && n < mostPutLines && lines[n].Time.Sub(lines[0].Time) < longestPut {
			if size += len(lines[n].Message) + putOverhead; size > mostPut && n > 0 {
				break
			}
			events = append(events, value.OfObject(
				value.Member{Key: "Timestamp", Value: value.OfInt(lines[n].Time.UnixMilli())},
				member("Message", string(lines[n].Message)),
			))
			n++
		}
		if err := g.call(ctx, "PutLogEvents", member("LogGroupName", group), member("LogStreamName", stream), value.Member{Key: "LogEvents", Value: value.OfArray(events)}); err != nil {
			delete(g.streams, group+" "+machine) // it may have been deleted
			return lost(err)
		}
		lines = lines[n:]
	}
	return nil
}

func member(key, text string) value.Member {
	return value.Member{Key: key, Value: value.OfString(text)}
}

// lost is err, unless nothing would come of trying again: what a missing group or a
// missing permission keeps from being logged is lost, as it is on AWS.
func lost(err error) error {
	var refused *wire.Error
	if errors.As(err, &refused) && refused.Status < 500 && !strings.Contains(refused.Code, "Throttling") && !strings.Contains(refused.Code, "Token") && refused.Status != 429 {
		return nil
	}
	return err
}

// call asks for an action, with its parameters as they are named there.
func (g *logGroups) call(ctx context.Context, action string, params ...value.Member) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err := g.client.Call(ctx, wire.Request{
		Service: "cloudwatchlogs", Action: strings.ToLower(action[:1]) + action[1:], Params: value.OfObject(params...),
	})
	var refused *wire.Error
	if errors.As(err, &refused) && refused.Code == "ResourceAlreadyExistsException" {
		err = nil // a stream that is there is what was wanted
	}
	g.condition.Note(ctx, action, began, err)
	return err
}
