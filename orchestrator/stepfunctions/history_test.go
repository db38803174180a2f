package stepfunctions_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/stepfunctions"
)

// TestEventOf fills in all that an event of the SDK can have, one kind of detail
// at a time, and looks for it in the event that comes of it.
func TestEventOf(t *testing.T) {
	all := reflect.TypeFor[types.HistoryEvent]()
	for i := range all.NumField() {
		f := all.Field(i)
		if !strings.HasSuffix(f.Name, "EventDetails") {
			continue
		}
		h := types.HistoryEvent{Id: 7, PreviousEventId: 6, Timestamp: new(time.Unix(1, 500_000_000)), Type: "Any"}
		details := reflect.New(f.Type.Elem())
		fill(details.Elem())
		reflect.ValueOf(&h).Elem().Field(i).Set(details)
		event, err := stepfunctions.EventOf(h)
		if err != nil {
			t.Fatal(err)
		}
		if event.ID != 7 || event.PreviousID != 6 || !event.Timestamp.Equal(*h.Timestamp) || event.Type != "Any" {
			t.Errorf("the head of an event is %+v", event)
		}
		got, want := members(t, event), members(t, h)
		for path := range want {
			if !got[path] {
				t.Errorf("%s is not in the event", path)
			}
		}
	}
	stopped, err := stepfunctions.EventOf(types.HistoryEvent{Type: types.HistoryEventTypeExecutionAborted, ExecutionAbortedEventDetails: &types.ExecutionAbortedEventDetails{Error: new("States.Timeout")}})
	if err != nil || stopped.Type != asl.ExecutionTimedOut || stopped.ExecutionTimedOut == nil || stopped.ExecutionAborted != nil {
		t.Errorf("stopped as its time was over: %+v, %v", stopped, err)
	}
}

// fill sets all fields to something that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("k"), reflect.ValueOf("v"))
	case reflect.String:
		v.SetString("s")
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.SetInt(3)
	}
}

// members are the paths of all that is in v as JSON, in lower case.
func members(t *testing.T, v any) map[string]bool {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var root any
	if err := json.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case nil:
		case map[string]any:
			for key := range maps.Keys(v) {
				walk(path+"."+strings.ToLower(key), v[key])
			}
		default:
			paths[path] = true
		}
	}
	walk("", root)
	return paths
}
