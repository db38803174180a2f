package asl

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// MaxChildren is how many child executions of a distributed Map run at once at
// most, whatever its MaxConcurrency.
const MaxChildren = 10_000

// expressTimeout is how long an Express child execution may take.
const expressTimeout = 5 * time.Minute

// notTolerated is the cause of States.ExceedToleratedFailureThreshold.
const notTolerated = "The specified tolerated failure threshold was exceeded"

// distribute asks for the run of a distributed Map: what is read, begun and
// written is the engine's, and is told as the outcome of an effect.
func (f *frame) distribute() {
	if _, err := f.mapRun(); err != nil {
		f.fail(err)
		return
	}
	c, t := f.c, f.t
	p := Pending{ID: f.effectID()}
	if c.MapRun == "" {
		c.MapRun = uuid("map run", p.ID)
	}
	t.emit(c, HistoryEvent{Type: MapRunStarted, MapRunStarted: &MapRunDetails{MapRunARN: f.mapRunARN()}}, 0)
	f.askMapRun(p)
}

func (f *frame) askMapRun(p Pending) {
	c, t := f.c, f.t
	c.Phase = PhaseTask
	c.await(p)
	t.out.Effects = append(t.out.Effects, Effect{
		ID: p.ID, Execution: t.s.Execution.Handle(), State: f.st.name, Attempt: int(c.RetryCount), MapRun: c.MapRun,
	})
}

// redriveMapRun goes on with the run that a distributed Map was in.
func (f *frame) redriveMapRun() {
	f.t.emit(f.c, HistoryEvent{Type: MapRunRedriven, MapRunRedriven: &MapRunRedrivenDetails{
		MapRunARN: f.mapRunARN(), RedriveCount: f.t.s.Redrives,
	}}, 0)
	f.askMapRun(Pending{ID: f.effectID()})
}

// ran takes how the run of a distributed Map ended.
func (f *frame) ran(o Outcome) {
	f.c.Effect = nil
	if o.Error != "" || o.Failed {
		f.t.emit(f.c, HistoryEvent{Type: MapRunFailed, MapRunFailed: &ErrorDetails{Error: o.Error, Cause: o.Cause}}, len(o.Cause))
		f.fail(&fault{name: o.Error, cause: o.Cause, from: TypeMap})
		return
	}
	began := f.c.LastEvent
	f.t.emit(f.c, HistoryEvent{Type: MapRunSucceeded}, 0)
	f.c.MapRun = ""
	result, err := value.Parse(o.Output)
	if err != nil {
		f.fail(&fault{name: ErrRuntime, cause: "The output of the map run: " + err.Error(), from: TypeMap})
		return
	}
	f.succeed(result, began) // since November 2024; before, the exit followed MapRunSucceeded
}

// uuid is an identity in the form of a UUID, derived from its parts.
func uuid(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8: of our own making
	x := hex.EncodeToString(sum[:16])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// mapRunARN is that of the run that the state is in.
func (f *frame) mapRunARN() string {
	x := f.t.s.Execution
	p := strings.SplitN(x.ARN, ":", 6)
	if len(p) < 6 {
		p = strings.SplitN("arn:aws:states:us-east-1:123456789012:", ":", 6)
	}
	return strings.Join(append(p[:5:5], "mapRun", x.StateMachineName+"/"+f.label()+":"+f.c.MapRun), ":")
}

// label is what the Map is called in ARNs.
func (f *frame) label() string {
	return cmp.Or(f.st.each.label, LabelOf(f.t.s.Execution.StateMachineARN, f.st.name))
}

// LabelOf is the label of a distributed Map that has none of its own.
func LabelOf(machineARN, state string) string { return uuid("label", machineARN, state) }

// tolerance is how many iterations may fail.
type tolerance struct {
	count   *int64
	percent *float64
}

// tolerance works out ToleratedFailureCount and ToleratedFailurePercentage.
func (f *frame) tolerance(in value.Value) (tolerance, error) {
	var t tolerance
	if n := f.st.each.count; n.set() {
		v, err := f.number(n, in)
		if err != nil {
			return t, err
		}
		t.count = &v
	}
	if n := f.st.each.percent; n.set() {
		v, err := f.percentage(n, in)
		if err != nil {
			return t, err
		}
		t.percent = &v
	}
	return t, nil
}

// percentage is what ToleratedFailurePercentage comes to.
func (f *frame) percentage(n number, in value.Value) (float64, error) {
	x := n.fraction
	switch {
	case n.query != nil:
		v, err := f.evaluate(n.query, "number")
		if err != nil {
			return 0, err
		}
		if x = v.Float(); !(x >= 0 && x <= 100) {
			return 0, f.evaluationFault(n.query.location, "The value of the field '%s' must be between 0 and 100, but was %s.", n.query.location, brief(v))
		}
	case n.path != nil:
		v, err := f.at(n.path, in)
		if err != nil {
			return 0, err
		}
		ok := v.Kind() == value.Number
		if x = v.Float(); v.Kind() == value.String {
			x, err = strconv.ParseFloat(v.Text(), 64)
			ok = err == nil && !math.IsNaN(x)
		}
		if !ok {
			return 0, f.runtime("The %s field refers to value %q which is not a valid float: %s", n.field, shown(v), n.path)
		}
		if !(x >= 0 && x <= 100) {
			return 0, f.runtime("%s must be between 0 and 100.", strings.TrimSuffix(n.field, "Path"))
		}
	}
	return x, nil
}

// allows reports whether so many of all may fail. Where neither a count nor a
// percentage is set, none may.
func (t tolerance) allows(failed, all int64) bool {
	switch {
	case t.count == nil && t.percent == nil:
		return failed == 0
	case t.count != nil && failed > *t.count:
		return false
	}
	return t.percent == nil || float64(failed)*100 <= *t.percent*float64(all)
}

// An Item is what one iteration of a Map is about.
type Item struct {
	Index  int
	Value  value.Value
	Key    string // of the member, where the Map runs over an object
	Member bool   // it does
	Source string // of a distributed Map: STATE_DATA, or the URI of the object that it comes from
}

// context is $$.Map.Item.
func (x Item) context() value.Value {
	members := []value.Member{
		{Key: "Index", Value: value.OfInt(int64(x.Index))},
		{Key: "Value", Value: x.Value},
	}
	if x.Member {
		members = append(members, value.Member{Key: "Key", Value: value.OfString(x.Key)})
	}
	if x.Source != "" {
		members = append(members, value.Member{Key: "Source", Value: value.OfString(x.Source)})
	}
	return value.OfObject(members...)
}

// A Reader says what the items of a distributed Map are read from.
type Reader struct {
	Action         string          // getObject or listObjectsV2
	Parameters     json.RawMessage // Bucket, Key, VersionId; Bucket, Prefix
	InputType      string          // CSV, JSON, JSONL, PARQUET or MANIFEST; empty: the listing itself
	ManifestType   string          // ATHENA_DATA or S3_INVENTORY; empty: as the manifest looks
	HeaderLocation string          // of CSV: FIRST_ROW or GIVEN
	Headers        []string        // where they are GIVEN
	Delimiter      string          // of CSV: COMMA, PIPE, SEMICOLON, SPACE or TAB; empty: COMMA
	Pointer        string          // to the items in JSON; empty: all of it
	LoadAndFlatten bool            // the objects of a listing are read too
	MaxItems       int64           // 0: all; it may be negative
}

// A Writer says where the results of a distributed Map go, and in which form.
type Writer struct {
	Parameters     json.RawMessage // Bucket, Prefix; nil: they are the output of the state
	Transformation string          // NONE, COMPACT or FLATTEN
	Lines          bool            // JSON Lines, not JSON
}

// A MapRun is the run of a distributed Map, as its execution sees it. It follows
// from the state of the execution, as long as that waits for it, so that it
// need not be kept. It is not safe for concurrent use.
type MapRun struct {
	ID      string
	ARN     string
	State   string // name of the Map
	Label   string
	Express bool

	MaxConcurrency      int      // 1 to [MaxChildren]
	ToleratedCount      *int64   // nil: not set
	ToleratedPercentage *float64 // nil: not set
	Reader              *Reader  // nil: the items are in the input
	MaxItemsPerBatch    int64    // 0: not set
	MaxBytesPerBatch    int64    // 0: not set
	Writer              Writer
	Redrives            int64 // of the execution

	batched bool
	batch   value.Value // BatchInput; Null: none
	f       *frame
}

// MapRun is what an effect asks for that is a map run.
func (m *Machine) MapRun(s *State, effect string) (*MapRun, error) {
	c := s.waiting(effect)
	if c == nil {
		return nil, fmt.Errorf("nothing waits for the map run %s", effect)
	}
	t, f := m.pending(s, effect, Env{Now: c.Entered})
	if f == nil || f.st.kind != TypeMap || !f.st.each.distributed {
		return nil, fmt.Errorf("the execution cannot go on in the state %q with this definition: %s", c.Name, t.out.Cause)
	}
	if _, err := f.spread(); err != nil {
		return nil, err
	}
	return f.mapRun()
}

// mapRun works out what the run of the Map is to do. It comes to the same in
// every turn.
func (f *frame) mapRun() (r *MapRun, err error) {
	f.fixed = true
	defer func() { f.fixed = false }()
	x, in := f.st.each, f.fan.input
	r = &MapRun{
		ID: f.c.MapRun, ARN: f.mapRunARN(), State: f.st.name, Label: f.label(), Express: x.express,
		MaxConcurrency: f.fan.most, Redrives: f.t.s.Redrives, f: f,
	}
	tolerated, err := f.tolerance(in)
	if err != nil {
		return nil, err
	}
	r.ToleratedCount, r.ToleratedPercentage = tolerated.count, tolerated.percent
	eval := func(t *template, field string) (v value.Value, err error) {
		if v, err = t.eval(f, in, field); err == nil {
			err = f.fits(v)
		}
		return v, err
	}
	if x.reader != nil {
		if r.Reader, err = f.itemReader(x.reader, in, eval); err != nil {
			return nil, err
		}
	}
	if b := x.batcher; b != nil {
		r.batched = true
		if r.MaxItemsPerBatch, err = f.number(b.items, in); err != nil {
			return nil, err
		}
		if r.MaxBytesPerBatch, err = f.number(b.bytes, in); err != nil {
			return nil, err
		}
		if b.input != nil {
			if r.batch, err = eval(b.input, "BatchInput"); err != nil {
				return nil, err
			}
		}
	}
	r.Writer.Transformation = "COMPACT"
	if w := x.writer; w != nil {
		if w.parameters != nil {
			v, err := eval(w.parameters, "Parameters")
			if err != nil {
				return nil, err
			}
			r.Writer.Parameters, r.Writer.Transformation = json.RawMessage(v.String()), "NONE"
		}
		if t := w.config["Transformation"]; t != "" {
			r.Writer.Transformation = t
		}
		r.Writer.Lines = w.config["OutputType"] == "JSONL"
	}
	return r, nil
}

func (f *frame) itemReader(x *itemReader, in value.Value, eval func(*template, string) (value.Value, error)) (*Reader, error) {
	r := &Reader{
		Action:         x.action,
		InputType:      x.config["InputType"],
		ManifestType:   x.config["ManifestType"],
		HeaderLocation: x.config["CSVHeaderLocation"],
		Headers:        x.headers,
		Delimiter:      x.config["CSVDelimiter"],
		LoadAndFlatten: x.config["Transformation"] == "LOAD_AND_FLATTEN",
	}
	v, err := eval(x.parameters, "Parameters")
	if err != nil {
		return nil, err
	}
	r.Parameters = json.RawMessage(v.String())
	if x.pointer != nil {
		if v, err = eval(x.pointer, "ItemsPointer"); err != nil {
			return nil, err
		}
		r.Pointer = v.Text()
	}
	r.MaxItems, err = f.number(x.most, in)
	return r, err
}

// Items are those that are in the input of the Map, where it has no Reader.
func (r *MapRun) Items() []Item {
	items := make([]Item, r.f.fan.n)
	for i := range items {
		all := r.f.fan.items
		items[i] = Item{Index: i, Value: all.At(i), Source: "STATE_DATA"}
		if all.Kind() == value.Object {
			items[i].Member, items[i].Key = true, all.Key(i)
			items[i].Value = value.OfObject(value.Member{Key: "Key", Value: value.OfString(all.Key(i))}, value.Member{Key: "Value", Value: all.At(i)})
		}
	}
	return items
}

// Input is what ItemSelector makes of an item, and the item itself where there
// is none.
func (r *MapRun) Input(item Item) (value.Value, error) {
	f := r.f
	f.fixed = true
	return f.selectItem(item)
}

// A Batch gathers the input of one child execution.
type Batch struct {
	run   *MapRun
	items []value.Value
	bytes int64
}

// Batch is an empty one.
func (r *MapRun) Batch() *Batch { return &Batch{run: r} }

// Len is how many items are in it.
func (b *Batch) Len() int { return len(b.items) }

// Takes reports whether there is room for an item. There is always for one.
func (b *Batch) Takes(item value.Value) bool {
	if len(b.items) == 0 {
		return true
	}
	if !b.run.batched || b.run.MaxItemsPerBatch > 0 && int64(len(b.items)) >= b.run.MaxItemsPerBatch {
		return false
	}
	most := b.run.MaxBytesPerBatch
	if most == 0 || most > MaxData {
		most = MaxData
	}
	return b.size()+int64(item.Size())+1 <= most
}

// size is how many bytes the input has so far.
func (b *Batch) size() int64 {
	n := b.bytes + int64(len(`{"Items":[]}`))
	if b.run.f.st.each.batcher.input != nil {
		n += int64(b.run.batch.Size() + len(`"BatchInput":,`))
	}
	return n
}

// Add adds an item.
func (b *Batch) Add(item value.Value) {
	b.items = append(b.items, item)
	b.bytes += int64(item.Size()) + 1
}

// Full reports whether no further item has room, whatever it is.
func (b *Batch) Full() bool {
	return !b.run.batched && len(b.items) > 0 || b.run.MaxItemsPerBatch > 0 && int64(len(b.items)) >= b.run.MaxItemsPerBatch
}

// Input is the input of the child execution: the item, or with an ItemBatcher
// all of them under Items, and BatchInput.
func (b *Batch) Input() json.RawMessage {
	if !b.run.batched {
		return json.RawMessage(b.items[0].String())
	}
	var members []value.Member
	if b.run.f.st.each.batcher.input != nil {
		members = append(members, value.Member{Key: "BatchInput", Value: b.run.batch})
	}
	members = append(members, value.Member{Key: "Items", Value: value.OfArray(b.items)})
	return json.RawMessage(value.OfObject(members...).String())
}

// Child is the identity of the child execution of that index, which begins now
// with so many items.
func (r *MapRun) Child(index, items int, now time.Time) ExecutionInfo {
	parent := r.f.t.s.Execution
	name := ChildName(r.ID, index)
	p := strings.SplitN(parent.ARN, ":", 6)
	if len(p) < 6 {
		p = strings.SplitN("arn:aws:states:us-east-1:123456789012:", ":", 6)
	}
	machine := parent.StateMachineName + "/" + r.Label
	info := ExecutionInfo{
		ARN:              strings.Join(append(p[:5:5], "execution", machine, name), ":"),
		Name:             name,
		StateMachineARN:  parent.StateMachineARN + "/" + r.Label,
		StateMachineName: machine,
		RoleARN:          parent.RoleARN,
		Started:          now,
		Depth:            parent.Depth + 1,
		MapRun:           r.ARN,
		Processor:        r.State,
		MapItems:         int64(items),
	}
	if r.Express {
		info.ARN = strings.Join(append(p[:5:5], "express", machine, name, uuid("express", name)), ":")
		info.Deadline = now.Add(expressTimeout)
	}
	return info
}

// ChildName is the name of the child execution of that index in the map run of
// that ID.
func ChildName(run string, index int) string { return uuid("child", run, strconv.Itoa(index)) }

// MapRunID is the ID in the ARN of a map run.
func MapRunID(arn string) string { return arn[strings.LastIndexByte(arn, ':')+1:] }

// Manifest is where the results are told of that the Writer has written.
func (r *MapRun) Manifest() (bucket, key string) {
	var at struct{ Bucket, Prefix string }
	json.Unmarshal(r.Writer.Parameters, &at) // what is missing there, nobody can write to
	if p := strings.TrimSuffix(at.Prefix, "/"); p != "" {
		key = p + "/"
	}
	return at.Bucket, key + r.ID + "/manifest.json"
}

// Written is the output of a run whose results were written.
func (r *MapRun) Written() json.RawMessage {
	bucket, key := r.Manifest()
	return json.RawMessage(value.OfObject(
		value.Member{Key: "MapRunArn", Value: value.OfString(r.ARN)},
		value.Member{Key: "ResultWriterDetails", Value: value.OfObject(
			value.Member{Key: "Bucket", Value: value.OfString(bucket)},
			value.Member{Key: "Key", Value: value.OfString(key)},
		)},
	).String())
}

// A Child is how a child execution ended.
type Child struct {
	Info    ExecutionInfo
	Status  string
	Input   json.RawMessage
	Output  json.RawMessage
	Error   string
	Cause   string
	Stopped time.Time
}

// Results are what the result of a map run has of a child execution: by its
// Writer's Transformation, and all there is to say of it where it did not
// succeed.
func (r *MapRun) Results(c Child) []json.RawMessage {
	if c.Status != StatusSucceeded || r.Writer.Transformation == "NONE" {
		return []json.RawMessage{r.told(c)}
	}
	if r.Writer.Transformation == "FLATTEN" {
		if v, err := value.Parse(c.Output); err == nil && v.Kind() == value.Array {
			all := make([]json.RawMessage, v.Len())
			for i := range all {
				all[i] = json.RawMessage(v.At(i).String())
			}
			return all
		}
	}
	return []json.RawMessage{c.Output}
}

// told is a child execution as Step Functions exports it.
func (r *MapRun) told(c Child) json.RawMessage {
	text := value.OfString
	included := value.OfObject(value.Member{Key: "Included", Value: value.OfBool(true)})
	members := []value.Member{{Key: "ExecutionArn", Value: text(c.Info.ARN)}}
	if c.Status != StatusSucceeded {
		if c.Error != "" {
			members = append(members, value.Member{Key: "Error", Value: text(c.Error)})
		}
		if c.Cause != "" {
			members = append(members, value.Member{Key: "Cause", Value: text(c.Cause)})
		}
	}
	members = append(members,
		value.Member{Key: "Input", Value: text(string(c.Input))},
		value.Member{Key: "InputDetails", Value: included},
		value.Member{Key: "Name", Value: text(c.Info.Name)},
	)
	if c.Status == StatusSucceeded {
		members = append(members, value.Member{Key: "Output", Value: text(string(c.Output))}, value.Member{Key: "OutputDetails", Value: included})
	}
	members = append(members,
		value.Member{Key: "StartDate", Value: text(c.Info.Started.UTC().Format(isoTime))},
		value.Member{Key: "StateMachineArn", Value: text(c.Info.StateMachineARN)},
		value.Member{Key: "Status", Value: text(c.Status)},
		value.Member{Key: "StopDate", Value: text(c.Stopped.UTC().Format(isoTime))},
	)
	return json.RawMessage(value.OfObject(members...).String())
}

// Tolerates reports whether so many of all items may fail.
func (r *MapRun) Tolerates(failed, all int64) bool {
	return tolerance{r.ToleratedCount, r.ToleratedPercentage}.allows(failed, all)
}

// NotTolerated is the outcome of a run in which more failed.
func NotTolerated() Outcome {
	return Outcome{Error: ErrExceedToleratedFailure, Cause: notTolerated}
}
