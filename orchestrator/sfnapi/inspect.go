package sfnapi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// inspect tells the steps of the data through a state. Each is what the state
// comes to without the steps behind it: the same core says so.
func (t *stateTest) inspect(ctx context.Context, p probe) (map[string]any, error) {
	told := map[string]any{"input": string(t.input())}
	if v := t.after(p.assigned); v != "" {
		told["variables"] = v
	}
	tell := func(name string, st stateText, input json.RawMessage) error {
		step, err := t.run(ctx, st, input)
		if err == nil && step.Status == "SUCCEEDED" {
			told[name] = *step.Output
		}
		return err
	}
	if p.Status == "RETRIABLE" {
		told["errorDetails"] = map[string]any{"retryIndex": p.handled.Entry, "retryBackoffIntervalSeconds": p.backoff}
	}
	if p.Status == "CAUGHT_ERROR" {
		told["errorDetails"] = map[string]any{"catchIndex": p.handled.Entry}
	}
	if t.kind == "Task" && p.result != "" {
		told["result"] = p.result
	}
	if t.jsonata {
		if t.kind == "Task" && p.sent != "" {
			told["afterArguments"] = p.sent
		}
		t.numbers(ctx, told)
		return told, t.selected(ctx, tell, told)
	}
	fixed := t.kind == "Pass" && t.state["Result"] != nil
	if t.kind != "Parallel" && !fixed {
		if err := tell("afterInputPath", t.pass("InputPath"), t.input()); err != nil {
			return nil, err
		}
	}
	switch {
	case t.kind == "Map" && !p.early:
		if err := t.items(ctx, tell, told); err != nil {
			return nil, err
		}
		if err := t.selected(ctx, tell, told); err != nil {
			return nil, err
		}
		t.numbers(ctx, told)
	case fixed:
		told["result"] = string(t.state["Result"])
		told["afterResultSelector"] = told["result"]
	case t.kind == "Pass":
		if err := tell("afterParameters", t.pass("InputPath", "Parameters"), t.input()); err != nil {
			return nil, err
		}
		if v, ok := told["afterParameters"]; ok {
			told["afterResultSelector"] = v
		}
	case t.kind == "Task" && p.sent != "":
		told["afterParameters"] = p.sent
	}
	if p.Status != "SUCCEEDED" && p.result == "" || !slices.Contains([]string{"Task", "Map", "Parallel", "Pass"}, t.kind) {
		return told, nil
	}
	if t.kind != "Pass" {
		if err := tell("afterResultSelector", t.once(p, "ResultPath", "OutputPath", "Assign"), t.input()); err != nil {
			return nil, err
		}
	}
	return told, tell("afterResultPath", t.once(p, "OutputPath"), t.input())
}

// once is the state without some fields, its task answering what it did.
func (t *stateTest) once(p probe, without ...string) stateText {
	fields := map[string]any{}
	for _, name := range without {
		fields[name] = nil
	}
	st := t.subject().with(fields)
	if t.in.Mock == nil && t.kind == "Task" { // it is not called again
		st = t.pass("InputPath").with(map[string]any{"OutputPath": nil})
		for _, name := range []string{"ResultPath"} {
			if v, ok := t.state[name]; ok && !slices.Contains(without, name) {
				st[name] = v
			}
		}
		st["Result"] = json.RawMessage(p.result)
	}
	return st
}

// pass is a Pass state with some of the state's fields.
func (t *stateTest) pass(fields ...string) stateText {
	st := stateText{"Type": json.RawMessage(`"Pass"`), "End": json.RawMessage("true")}
	for _, name := range fields {
		if v, ok := t.state[name]; ok {
			st[name] = v
		}
	}
	return st
}

// items tells the items of a Map, and what they are given as.
func (t *stateTest) items(ctx context.Context, tell func(string, stateText, json.RawMessage) error, told map[string]any) error {
	input, ok := told["afterInputPath"].(string)
	if t.state["ItemReader"] != nil || !ok {
		return nil
	}
	st := t.pass().with(map[string]any{"InputPath": t.itemsPath()})
	return tell("afterItemsPath", st, json.RawMessage(input))
}

// after is the variables after the state, as JSON; empty where there are none.
func (t *stateTest) after(assigned map[string]string) string {
	if len(assigned) == 0 {
		if len(t.variables) == 0 {
			return ""
		}
		return t.in.Variables
	}
	all := maps.Clone(t.variables)
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	for name, v := range assigned {
		all[name] = json.RawMessage(v)
	}
	text, _ := json.Marshal(all) // all of it is JSON
	return string(text)
}

// selected tells what ItemSelector makes of the items: what a Map comes to that hands
// on what its iterations are given.
func (t *stateTest) selected(ctx context.Context, tell func(string, stateText, json.RawMessage) error, told map[string]any) error {
	if t.kind != "Map" {
		return nil
	}
	if t.distributed() {
		t.spread(ctx, told)
		return nil
	}
	if t.state["ItemSelector"] == nil {
		return nil
	}
	st := t.pass("InputPath", "ItemsPath", "Items", "ItemSelector")
	return tell("afterItemSelector", st.with(map[string]any{
		"Type":          "Map",
		"ItemProcessor": json.RawMessage(`{"StartAt":"Item","States":{"Item":{"Type":"Pass","End":true}}}`),
	}), t.input())
}

func (t *stateTest) itemsPath() string {
	if path := t.state.text("ItemsPath"); path != "" {
		return path
	}
	return "$"
}

// itemsFail says why the items of a Map are none.
func (t *stateTest) itemsFail(ctx context.Context, st stateText, input json.RawMessage) (string, bool) {
	if t.kind != "Map" || t.jsonata || t.state["ItemReader"] != nil || st.text("Type") != "Task" {
		return "", false
	}
	in, err := t.run(ctx, t.pass("InputPath"), input)
	if err != nil || in.Output == nil {
		return "", false // told by the state itself
	}
	path := t.itemsPath()
	items, err := t.run(ctx, t.pass().with(map[string]any{"InputPath": path}), json.RawMessage(*in.Output))
	if err != nil || items.Output == nil {
		return fmt.Sprintf("Reference path %q must point to array.", strings.TrimPrefix(path, "$")), err == nil
	}
	if strings.HasPrefix(*items.Output, "[") {
		return "", false
	}
	if strings.HasPrefix(path, "$$") {
		path = path[1:]
	}
	return fmt.Sprintf("Reference path %q must point to array.", path), true
}

// numbers tells the limits of a Map.
func (t *stateTest) numbers(ctx context.Context, told map[string]any) {
	if t.kind != "Map" {
		return
	}
	told["maxConcurrency"] = int64(0)
	for name, field := range map[string]string{
		"maxConcurrency": "MaxConcurrency", "toleratedFailureCount": "ToleratedFailureCount", "toleratedFailurePercentage": "ToleratedFailurePercentage",
	} {
		n, ok := t.number(ctx, field)
		switch {
		case !ok:
		case field == "ToleratedFailurePercentage":
			told[name] = json.Number(strconv.FormatFloat(n, 'f', max(1, decimals(n)), 64))
		default:
			told[name] = int64(n)
		}
	}
}

// decimals is how many a number has.
func decimals(n float64) int {
	_, after, _ := strings.Cut(strconv.FormatFloat(n, 'f', -1, 64), ".")
	return len(after)
}

// number is a limit of a Map: constant, by a path, or an expression.
func (t *stateTest) number(ctx context.Context, field string) (n float64, ok bool) {
	raw := t.state[field]
	if path := t.state.text(field + "Path"); path != "" {
		p, err := t.run(ctx, t.pass().with(map[string]any{"InputPath": path}), t.input())
		if err != nil || p.Output == nil {
			return 0, false
		}
		raw = json.RawMessage(*p.Output)
	}
	if expr := t.state.text(field); t.jsonata && expr != "" {
		p, err := t.run(ctx, t.pass().with(map[string]any{"Output": expr}), t.input())
		if err != nil || p.Output == nil {
			return 0, false
		}
		raw = json.RawMessage(*p.Output)
	}
	return n, json.Unmarshal(raw, &n) == nil && raw != nil
}
