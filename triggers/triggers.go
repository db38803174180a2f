// Package triggers turns what happens outside into events.
//
// A [Source] follows one transport and hands each thing that happened to a
// [Sink], which answers when the event is durable; only then does the source
// acknowledge it upstream. So a crash repeats an event and never loses one, and
// since an event's ID is derived from what it tells of, the repeat is known as
// one. Sources live in a package each and are held to the contract of
// triggertest. [Manual] makes the event of a person who wakes a policy.
//
// What an event means, and to whom, is not known here.
package triggers

import (
	"context"

	"github.com/anneal-ml/anneal"
)

// A Source follows one transport.
type Source interface {
	// Run hands events to sink until ctx ends, and then returns nil with no
	// goroutine left behind. What may pass (a sink that refuses, a folder that
	// is away) is waited for and tried again; an error is what cannot.
	//
	// A source may be run again, by the same process or the next: what was
	// not acknowledged comes again.
	Run(ctx context.Context, sink Sink) error
}

// A Sink takes events in.
type Sink interface {
	// Ingest returns when the event is durable, with the event as it is
	// stored; duplicate says that it was stored already. On an error nothing
	// is known to be stored, and the event must be given again. It may be
	// called from several goroutines.
	Ingest(ctx context.Context, event anneal.Event) (stored anneal.Event, duplicate bool, err error)
}

// A BatchSink is a sink that takes several events in at once for less than one
// after the other.
type BatchSink interface {
	Sink

	// IngestAll returns when all of the events are durable, stored in their
	// order. The duplicates are those that were stored already, and those that
	// are among the events a second time, by their index. On an error nothing
	// is known to be stored.
	IngestAll(ctx context.Context, events []anneal.Event) (duplicates []int, err error)
}
