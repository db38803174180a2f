package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"

	"github.com/anneal-ml/anneal"
)

// Bounds, in bytes of events, beside those in numbers: of the wakes that wait, of
// one append, and of what was read of the journal and is not taken yet. Each is
// passed by one event at most.
const (
	maxWakeBytes  = 64 << 20
	maxTakenBytes = 8 << 20
	maxReadBytes  = 16 << 20
)

// wakes are wakes in their order. In memory and in JSON those that are about one
// event share it: a large one may wake thousands of policies.
type wakes []*wake

// bytes is what their events take.
func (ws wakes) bytes() (n int) {
	last := ""
	for _, w := range ws { // those of one event were made together
		if w.Event.ID != last {
			n += sizeOf(w.Event)
		}
		last = w.Event.ID
	}
	return n
}

// full says that no more events are taken before some of these are decided.
func (ws wakes) full() bool { return len(ws) >= maxWakes || ws.bytes() >= maxWakeBytes }

// sizeOf is what an event takes, in bytes, beside its times and names.
func sizeOf(e anneal.Event) int { return len(e.Data) + len(e.Raw) + 512 }

// sharedWakes is the JSON of wakes: each has the number of its event.
type sharedWakes struct {
	Events []anneal.Event `json:"events"`
	Wakes  []sharedWake   `json:"wakes"`
}

type sharedWake struct {
	wake
	Event int `json:"event"` // hides the wake's own
}

// MarshalJSON implements [json.Marshaler].
func (ws wakes) MarshalJSON() ([]byte, error) {
	s := sharedWakes{Events: []anneal.Event{}, Wakes: make([]sharedWake, 0, len(ws))}
	at := map[string]int{}
	for _, w := range ws {
		i, ok := at[w.Event.ID]
		if !ok {
			i = len(s.Events)
			at[w.Event.ID] = i
			s.Events = append(s.Events, w.Event)
		}
		s.Wakes = append(s.Wakes, sharedWake{*w, i})
	}
	return json.Marshal(s)
}

// UnmarshalJSON implements [json.Unmarshaler]. It also reads a plain array.
func (ws *wakes) UnmarshalJSON(data []byte) error {
	if data = bytes.TrimSpace(data); len(data) > 0 && data[0] != '{' {
		return json.Unmarshal(data, (*[]*wake)(ws))
	}
	var s sharedWakes
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	*ws = nil
	for _, shared := range s.Wakes {
		w := new(shared.wake)
		if shared.Event >= 0 && shared.Event < len(s.Events) {
			w.Event = s.Events[shared.Event]
		}
		*ws = append(*ws, w)
	}
	return nil
}

// An allowance is how many bytes may be held at a time.
type allowance struct {
	mu    sync.Mutex
	used  int           // guarded by mu
	freed chan struct{} // guarded by mu; closed at the next give; nil: nobody waits
}

// take waits until n bytes may be held besides the rest: the first always may.
func (a *allowance) take(ctx context.Context, n int) error {
	for {
		a.mu.Lock()
		if a.used == 0 || a.used+n <= maxReadBytes {
			a.used += n
			a.mu.Unlock()
			return nil
		}
		if a.freed == nil {
			a.freed = make(chan struct{})
		}
		freed := a.freed
		a.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// give has n bytes held no more.
func (a *allowance) give(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used -= n
	if a.freed != nil {
		close(a.freed)
		a.freed = nil
	}
}
