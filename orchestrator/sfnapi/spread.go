package sfnapi

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/items"
)

// distributed reports whether the state is a distributed Map.
func (t *stateTest) distributed() bool {
	var processor struct {
		ProcessorConfig struct{ Mode string }
	}
	return json.Unmarshal(t.state["ItemProcessor"], &processor) == nil && processor.ProcessorConfig.Mode == "DISTRIBUTED"
}

// spread tells what a distributed Map gives to its child executions, by the map
// run that it would begin. What fails there is left out, as all that comes
// after it.
func (t *stateTest) spread(ctx context.Context, told map[string]any) {
	m, err := t.machine(t.state)
	if err != nil {
		return
	}
	turn := m.Tick(t.begin(t.state, t.input()), t.env())
	if len(turn.Effects) == 0 {
		return
	}
	run, err := m.MapRun(turn.State, turn.Effects[0].ID)
	if err != nil {
		return
	}
	all, ok := t.gather(ctx, run)
	if !ok {
		return
	}
	if run.Reader != nil && run.Reader.Pointer != "" {
		var found texts
		for _, item := range all {
			found.add(item.Value.String())
		}
		found.tell(told, "afterItemsPointer")
	}
	var inputs, batches texts
	batch := run.Batch()
	for _, item := range all {
		in, err := run.Input(item)
		if err != nil {
			return
		}
		inputs.add(in.String())
		if !batch.Takes(in) {
			batches.add(string(batch.Input()))
			batch = run.Batch()
		}
		batch.Add(in)
		if inputs.size > asl.MaxData && batches.size > asl.MaxData {
			return // neither is told
		}
	}
	if batch.Len() > 0 {
		batches.add(string(batch.Input()))
	}
	if t.state["ItemSelector"] != nil {
		inputs.tell(told, "afterItemSelector")
	}
	if t.state["ItemBatcher"] != nil {
		batches.tell(told, "afterItemBatcher")
	}
}

// gather is the items of a map run: those of its input, or of the data that
// stand for what its ItemReader reads.
func (t *stateTest) gather(ctx context.Context, run *asl.MapRun) (all []asl.Item, ok bool) {
	if run.Reader == nil {
		return run.Items(), true
	}
	data := t.in.Configuration.ReaderData
	if data == "" {
		return nil, false
	}
	in, err := items.From(ctx, data, items.Spec(*run.Reader))
	if err != nil {
		return nil, false
	}
	defer in.Close()
	for {
		x, err := in.Next()
		if err != nil {
			return all, err == io.EOF
		}
		all = append(all, asl.Item{Index: len(all), Value: x.Value, Source: x.Source})
	}
}

// texts are the elements of an array, in JSON.
type texts struct {
	all  []string
	size int // in bytes
}

func (x *texts) add(text string) {
	if x.size += len(text) + 1; x.size <= asl.MaxData {
		x.all = append(x.all, text)
	}
}

// tell tells the array, unless it is larger than data may be.
func (x *texts) tell(told map[string]any, name string) {
	if x.size <= asl.MaxData {
		told[name] = "[" + strings.Join(x.all, ",") + "]"
	}
}
