package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// The kinds of the engine's records.
const (
	kindTurn = "turn" // a turnRecord; key: the execution's name
	// KindMachine is a definition, as it was given; its key is the [Digest].
	KindMachine = "machine"
)

// A turnRecord is one turn in the journal. The newest one of an execution is
// all that is needed to go on with it.
type turnRecord struct {
	Machine  string `json:"machine"`            // digest of the definition
	Previous uint64 `json:"previous,omitempty"` // record of the turn before; 0 in the first
	// Pending are the effects that are waited for after the turn, by ID, each
	// with the record that asked for it; 0 is this one.
	Pending map[string]uint64 `json:"pending,omitempty"`
	asl.Turn
}

// Digest is the identity of a definition: its SHA-256, in hex.
func Digest(definition []byte) string {
	sum := sha256.Sum256(definition)
	return hex.EncodeToString(sum[:])
}

// newest reads an execution's newest turn.
func (e *Engine) newest(ctx context.Context, name string) (turnRecord, error) {
	r, err := e.journal.Find(ctx, kindTurn, name)
	if errors.Is(err, journal.ErrNotFound) {
		return turnRecord{}, orchestrator.ErrNotFound
	}
	if err != nil {
		return turnRecord{}, err
	}
	return decodeTurn(r)
}

func (e *Engine) turnAt(ctx context.Context, seq uint64) (turnRecord, error) {
	r, err := e.journal.At(ctx, seq)
	if err != nil {
		return turnRecord{}, err
	}
	return decodeTurn(r)
}

func decodeTurn(r journal.Record) (turnRecord, error) {
	var t turnRecord
	if err := json.Unmarshal(r.Data, &t); err != nil {
		return turnRecord{}, fmt.Errorf("read turn in record %d: %w", r.Seq, err)
	}
	return t, nil
}
