package tasks

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestDoing: what is done hears that it is stopped, and that its parent is, whenever it
// asks, as do contexts made of it.
func TestDoing(t *testing.T) {
	type key struct{}
	for _, c := range []struct {
		name string
		end  func(d *doing, parent context.CancelFunc)
	}{
		{"stopped", func(d *doing, _ context.CancelFunc) { d.stop() }},
		{"stopped twice", func(d *doing, _ context.CancelFunc) { d.stop(); d.stop() }},
		{"parent", func(_ *doing, parent context.CancelFunc) { parent() }},
	} {
		for _, asked := range []bool{false, true} {
			parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
			d := &doing{Context: parent}
			if d.Err() != nil || d.Value(key{}) != "v" {
				t.Errorf("%s: %v, %v at the beginning; want no error, and the parent's value", c.name, d.Err(), d.Value(key{}))
			}
			child := context.Context(d)
			if asked {
				timed, end := context.WithTimeout(d, time.Hour)
				defer end()
				child = timed
				select {
				case <-child.Done():
					t.Errorf("%s: it is over at the beginning", c.name)
				default:
				}
			}
			c.end(d, cancel)
			if !errors.Is(d.Err(), context.Canceled) {
				t.Errorf("%s, asked before %t: %v, want that it is cancelled", c.name, asked, d.Err())
			}
			<-d.Done()
			<-child.Done()
			if !errors.Is(child.Err(), context.Canceled) || child.Value(key{}) != "v" {
				t.Errorf("%s, asked before %t: its child has %v, %v; want that it is cancelled, and the value", c.name, asked, child.Err(), child.Value(key{}))
			}
			cancel()
		}
	}
}
