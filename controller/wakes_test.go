package controller

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
)

func TestWakesShareTheirEvent(t *testing.T) {
	large := anneal.Event{ID: "large", Type: "T", Seen: time.Unix(1, 0).UTC(), Data: json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)}
	small := anneal.Event{ID: "small", Type: "T", Seen: time.Unix(2, 0).UTC()}
	var ws wakes
	for range 500 {
		ws = append(ws, &wake{Policy: "p", Trigger: "t", Event: large, Object: &anneal.Object{URI: "s3://b/k"}})
	}
	ws = append(ws, &wake{Policy: "q", Event: small, Force: true, Parameters: map[string]any{"n": "1"}})
	data, err := json.Marshal(takenRecord{UpTo: 7, Wakes: ws})
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 2<<20 {
		t.Errorf("501 wakes about an event of a megabyte are %d bytes of JSON", len(data))
	}
	var got takenRecord
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, takenRecord{UpTo: 7, Wakes: ws}) {
		t.Error("they come back as others")
	}
	if &got.Wakes[0].Event.Data[0] != &got.Wakes[499].Event.Data[0] {
		t.Error("they do not share their event any more")
	}
	if n := got.Wakes.bytes(); n < 1<<20 || n > 2<<20 {
		t.Errorf("their events take %d bytes, want about a megabyte", n)
	}

	plain, err := json.Marshal([]*wake(ws[500:]))
	if err != nil {
		t.Fatal(err)
	}
	var old wakes
	if err := json.Unmarshal(plain, &old); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ws[500:], old); diff != "" {
		t.Errorf("an array of wakes: %s", diff)
	}
	for _, text := range []string{`{"wakes":[{"event":9}]}`, `{"wakes":[{}]}`, `{}`, `null`} {
		if err := json.Unmarshal([]byte(text), &old); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestWakesAreBoundInBytes(t *testing.T) {
	var ws wakes
	for i := range 63 {
		ws = append(ws, &wake{Event: anneal.Event{ID: string(rune('a' + i)), Data: make([]byte, 1<<20)}})
	}
	if ws.full() {
		t.Error("63 MiB are too much")
	}
	if ws = append(ws, &wake{Event: anneal.Event{ID: "z", Raw: make([]byte, 1<<20)}}); !ws.full() {
		t.Error("64 MiB are not too much")
	}
}

func TestAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a allowance
		order := make(chan string, 3)
		if err := a.take(t.Context(), 2*maxReadBytes); err != nil { // the first always may
			t.Fatal(err)
		}
		go func() {
			a.take(t.Context(), 10)
			order <- "taken"
		}()
		synctest.Wait()
		order <- "given"
		a.give(2 * maxReadBytes)
		synctest.Wait()
		if got := <-order + " " + <-order; got != "given taken" {
			t.Errorf("%s, want that the second waits for the first", got)
		}
	})
}
