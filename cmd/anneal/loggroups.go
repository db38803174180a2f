package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anneal-ml/anneal/cloud"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
	"github.com/anneal-ml/anneal/orchestrator/wire"
)

// logGroups puts lines into CloudWatch Logs, a stream a state machine and process, in
// the regions of the log groups.
type logGroups struct {
	client  *wire.Client
	log     *slog.Logger
	region  string // of the daemon
	process string // in the names of streams
	dropped atomic.Int64

	// patience is how long lines wait for a log group that refuses them, as one that is
	// only being made, before they are dropped. Those that follow are dropped at once
	// until it takes some again, so that they do not keep other groups waiting.
	patience time.Duration

	mu     sync.Mutex
	groups map[string]*logGroup // guarded by mu; by ARN
}

// A logGroup is one log group as the writer knows it.
type logGroup struct {
	arn       string
	condition *cloud.Condition
	streams   map[string]string // that are there, by state machine
	refused   bool              // and was so for as long as that is waited for
}

// What CloudWatch Logs takes at once ("PutLogEvents" of its API reference).
const (
	mostPut      = 1_000_000 // bytes, of 1,048,576
	putOverhead  = 26        // bytes a line
	mostPutLines = 10_000
	longestPut   = 24 * time.Hour
)

// group is the log group of an ARN.
func (g *logGroups) group(arn string) *logGroup {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.groups == nil {
		g.groups = map[string]*logGroup{}
	}
	if g.groups[arn] == nil {
		service := cloud.Service{
			Name: "CloudWatch Logs", Prefix: "logs", Region: groupRegion(arn), Resource: "the log group " + groupName(arn),
			Remedies: map[string]string{"ResourceNotFoundException": "the log group " + groupName(arn) + " is not there, and what is logged to it is dropped: create it"},
		}
		g.groups[arn] = &logGroup{arn: arn, condition: service.Watch(g.log), streams: map[string]string{}}
	}
	return g.groups[arn]
}

// wrong is what is wrong at present with the log groups; empty: nothing.
func (g *logGroups) wrong() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []string
	for _, arn := range sortedKeys(g.groups) {
		if wrong := g.groups[arn].condition.String(); wrong != "" && !slices.Contains(all, wrong) {
			all = append(all, wrong)
		}
	}
	return strings.Join(all, "; ")
}

func (g *logGroups) write(ctx context.Context, lines []sfnapi.LogLine) error {
	groups := groupsOf(lines)
	for _, arn := range sortedKeys(groups) {
		machines := map[string][]sfnapi.LogLine{}
		for _, l := range groups[arn] {
			machines[l.Machine] = append(machines[l.Machine], l)
		}
		for _, machine := range sortedKeys(machines) {
			if err := g.put(ctx, g.group(arn), machine, machines[machine]); err != nil {
				return fmt.Errorf("log of %s: %w", arn, err)
			}
		}
	}
	return nil
}

// put puts lines into the stream of a machine, or drops those that their group refuses.
func (g *logGroups) put(ctx context.Context, group *logGroup, machine string, lines []sfnapi.LogLine) error {
	slices.SortStableFunc(lines, func(a, b sfnapi.LogLine) int { return a.Time.Compare(b.Time) })
	began := time.Now()
	for wait := time.Second; ; wait *= 2 {
		left, err := g.stream(ctx, group, machine, lines)
		lines = left
		switch {
		case err == nil:
			group.refused = false
			return nil
		case !g.refusal(group, err):
			return err
		case group.refused || time.Since(began)+wait > g.patience:
			group.refused = true
			g.dropped.Add(int64(len(lines)))
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stream puts lines into the stream of a machine, which it makes where it is not there
// any more. It returns those that are not in it.
func (g *logGroups) stream(ctx context.Context, group *logGroup, machine string, lines []sfnapi.LogLine) ([]sfnapi.LogLine, error) {
	made := false
	for len(lines) > 0 {
		stream := group.streams[machine]
		if stream == "" {
			stream = "states/" + machine + "/" + time.Now().UTC().Format("2006-01-02-15-04") + "/" + g.process
			if err := g.call(ctx, group, "CreateLogStream", member("LogStreamName", stream)); err != nil {
				return lines, err
			}
			group.streams[machine], made = stream, true
		}
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
		err := g.call(ctx, group, "PutLogEvents", member("LogStreamName", stream), value.Member{Key: "LogEvents", Value: value.OfArray(events)})
		var refused *wire.Error
		switch {
		case err == nil:
			lines = lines[n:]
		case errors.As(err, &refused) && refused.Code == "ResourceNotFoundException" && !made: // somebody deleted the stream
			delete(group.streams, machine)
		default:
			delete(group.streams, machine)
			return lines, err
		}
	}
	return nil, nil
}

func member(key, text string) value.Member {
	return value.Member{Key: key, Value: value.OfString(text)}
}

// refusal reports whether an error is of the log group, and will be the same for as long
// as nobody mends that. Others are of the daemon's credentials or its network, which all
// lines wait for.
func (g *logGroups) refusal(group *logGroup, err error) bool {
	var refused *wire.Error
	var name *net.DNSError
	switch {
	case errors.As(err, &refused):
		of := func(codes ...string) bool {
			return slices.ContainsFunc(codes, func(c string) bool { return strings.Contains(refused.Code, c) })
		}
		return refused.Status < 500 && refused.Status != 429 && !of("Throttling", "Token", "UnrecognizedClient", "Signature", "RequestExpired")
	case errors.As(err, &name):
		return name.IsNotFound && groupRegion(group.arn) != g.region // there is no such region
	}
	return false
}

// call asks for an action on a log group, with its other parameters as they are named
// there.
func (g *logGroups) call(ctx context.Context, group *logGroup, action string, params ...value.Member) error {
	began := time.Now()
	_, err := g.ask(ctx, group.arn, action, append([]value.Member{member("LogGroupName", groupName(group.arn))}, params...)...)
	var refused *wire.Error
	if errors.As(err, &refused) && refused.Code == "ResourceAlreadyExistsException" {
		err = nil // a stream that is there is what was wanted
	}
	group.condition.Note(ctx, action, began, err)
	return err
}

func (g *logGroups) ask(ctx context.Context, arn, action string, params ...value.Member) (value.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := g.client.Call(ctx, wire.Request{
		Service: "cloudwatchlogs", Action: strings.ToLower(action[:1]) + action[1:], Params: value.OfObject(params...), Region: groupRegion(arn),
	})
	if err != nil {
		return value.Value{}, err
	}
	return out.Output, nil
}

// exists reports whether a log group is there; an error: nobody could say.
func (g *logGroups) exists(ctx context.Context, arn string) (bool, error) {
	name := groupName(arn)
	next := []value.Member{member("LogGroupNamePrefix", name)}
	for {
		out, err := g.ask(ctx, arn, "DescribeLogGroups", next...)
		if err != nil {
			return false, fmt.Errorf("look for log group %s: %w", name, err)
		}
		groups, _ := out.Find("LogGroups")
		for _, group := range groups.Items() {
			if found, _ := group.Find("LogGroupName"); found.Text() == name {
				return true, nil
			}
		}
		token, more := out.Find("NextToken")
		if !more || token.Text() == "" {
			return false, nil
		}
		next = []value.Member{member("LogGroupNamePrefix", name), member("NextToken", token.Text())}
	}
}
