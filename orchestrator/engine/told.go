package engine

import (
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// A Told is what one turn tells of its execution.
type Told struct {
	Execution asl.ExecutionInfo
	Redrives  int64
	Events    []asl.HistoryEvent
}

// ToldBy reads what a turn's record tells.
func ToldBy(r journal.Record) (Told, error) {
	t, err := decodeTurn(r)
	if err != nil || t.State == nil {
		return Told{}, err
	}
	return Told{t.State.Execution, t.State.Redrives, t.Events}, nil
}
