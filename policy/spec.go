package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/anneal-ml/anneal"
)

// APIVersion and Kind begin every policy file.
const (
	APIVersion = "anneal/v1alpha1"
	Kind       = "RetrainPolicy"
)

// A Spec is a policy as data, in the shape of its YAML. It says the same after
// it went through JSON: see [ParseSpec].
type Spec struct {
	APIVersion string   `json:"apiVersion"` // anneal/v1alpha1
	Kind       string   `json:"kind"`       // RetrainPolicy
	Metadata   Metadata `json:"metadata"`
	Spec       Body     `json:"spec"`
}

// Metadata names a policy.
type Metadata struct {
	// Name is unique among all policies: lower-case letters, digits and
	// hyphens, at most 63. Runs and executions are named after it.
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Body is everything under `spec`.
type Body struct {
	Mode     Mode   `json:"mode,omitempty" enum:"observe,enforce,paused"` // observe if empty
	TimeZone string `json:"timeZone,omitempty"`                           // IANA name; of every cron in the policy, which needs it
	Model    Model  `json:"model"`
	// Parameters is the JSON Schema of what `anneal trigger` and the API may
	// pass. The defaults of its properties are used where nothing is passed.
	Parameters map[string]any    `json:"parameters,omitempty"`
	Data       Data              `json:"data,omitzero"`
	Signals    map[string]Signal `json:"signals,omitempty"`
	Triggers   []Trigger         `json:"triggers,omitempty"`
	Rules      []Rule            `json:"rules,omitempty"` // ordered; the first true one is the reason
	// OnMissingSignal is what happens where no rule is true and one is
	// unknown: hold (if empty), ignore or run.
	OnMissingSignal string     `json:"onMissingSignal,omitempty" enum:"hold,ignore,run"`
	Guards          Guards     `json:"guards,omitzero"`
	Approval        *Approval  `json:"approval,omitempty"`
	Run             *Run       `json:"run,omitempty"`
	Promote         *Promotion `json:"promote,omitempty"`
	Notify          []Notify   `json:"notify,omitempty"`

	Cost NotBuilt `json:"cost,omitzero"`
}

// NotBuilt is the type of a key that the design has and this version does not
// do. A file that sets it is refused by the key's name, so that nothing which
// was asked for is left out in silence.
type NotBuilt struct{}

// Mode says what comes of a decision to run.
type Mode string

// The modes.
const (
	Observe Mode = "observe" // decide and record would-run, never start
	Enforce Mode = "enforce" // start the run
	Paused  Mode = "paused"  // decide and record, hold always
)

// Model names the model group that the policy keeps in tune.
type Model struct {
	Group string `json:"group"`
}

// Data says what the model's data looks like.
type Data struct {
	// Format is by extension if empty, as the compression always is.
	Format string `json:"format,omitempty" enum:"csv,jsonl,parquet"`
	Target string `json:"target,omitempty"` // the column to predict; not counted in drift.share
	// Columns gives a column's type where the inferred one is wrong.
	Columns map[string]string `json:"columns,omitempty" enum:"numeric,categorical,timestamp,text,index"`
	Train   Train             `json:"train,omitzero"`
}

// Train chooses the objects that a run trains on, and that become the
// reference when its model is promoted: the last N, those of the last Since,
// or, with neither, all. In YAML also the word `all`.
type Train struct {
	Last  int      `json:"last,omitempty" min:"1"`
	Since Duration `json:"since,omitempty" min:"1s"`
}

// All reports whether every object is chosen.
func (t Train) All() bool { return t == Train{} }

// UnmarshalText reads the word `all`.
func (t *Train) UnmarshalText(text []byte) error {
	if string(text) != "all" {
		return fmt.Errorf("%q is not a choice of training data: write all, {last: 6} or {since: 90d}", text)
	}
	*t = Train{}
	return nil
}

// UnmarshalJSON reads the object, or the word `all`.
func (t *Train) UnmarshalJSON(data []byte) error {
	var word string
	if json.Unmarshal(data, &word) == nil {
		return t.UnmarshalText([]byte(word))
	}
	type plain Train
	return json.Unmarshal(data, (*plain)(t))
}

// A Signal says how one fact about the model is measured: the drift of a
// window against a reference, a count over the objects since a moment, how
// good predictions were, once their labels have come, or a metric of CloudWatch.
type Signal struct {
	Source string `json:"source" enum:"data,predictions,report,cloudwatch"` // data, predictions, report or cloudwatch
	Window Window `json:"window,omitzero"`
	// StaleAfter is how long a value may be relied on. Of predictions: without
	// labels, the window if zero. Of report: since the newest came, 7d if zero. Of cloudwatch: after the end of the newest
	// datapoint, 1h or three periods if zero, whichever is longer.
	StaleAfter Duration `json:"staleAfter,omitempty"`

	// Of source data.
	Reference string `json:"reference,omitempty" enum:"champion"` // champion: its training data
	Reduce    string `json:"reduce,omitempty" enum:"rows"`        // rows
	Since     string `json:"since,omitempty" enum:"lastTrained"`  // lastTrained: the objects no successful run has trained on

	// Quality asks for a fact about the newest objects, one if Window is empty: rows,
	// those of the newest object against the median of the 30 before it; duplicates,
	// the share of rows, without the columns in Ignore, or of values of Column that are
	// there already; or in how many places
	// one of the facts of docs/drift.md holds against the champion's data: ragged,
	// constant, missing, range, type-change, new-column and so on.
	Quality string `json:"quality,omitempty" enum:"rows,duplicates,no-rows,ragged,new-column,vanished-column,type-change,missing,range,constant,new-categories,vanished-categories"`

	// Rules say what drift is: anneal if empty, or the defaults of Evidently or
	// NannyML, which choose the tests themselves.
	Rules string `json:"rules,omitempty" enum:"anneal,evidently,nannyml"`

	// Season is what a window is compared with the same part of: the year, the week or
	// the day of the champion's data; auto if empty, where one shows.
	Season string `json:"season,omitempty" enum:"auto,none,year,week,day"`

	// What finds drift. Test is short for Tests with one; without either, those
	// that docs/drift.md calls the default count. Thresholds are by test.
	Test       string             `json:"test,omitempty"`
	Tests      []string           `json:"tests,omitempty"`
	Thresholds map[string]float64 `json:"thresholds,omitempty"`
	Alpha      float64            `json:"alpha,omitempty"`      // of what is found over time may be chance: 0.05 if zero
	Correction string             `json:"correction,omitempty"` // over the columns; fdr_bh if empty
	Ignore     []string           `json:"ignore,omitempty"`     // columns

	// MinRows is what a verdict takes: rows on both sides for drift, labelled
	// predictions for a metric. 30 if zero.
	MinRows int64 `json:"minRows,omitempty"`

	// Of source predictions. Objects whose key begins with Path hold
	// predictions, those whose key begins with Labels what came true; neither
	// is training data. Either may be a whole URI.
	Path   string `json:"path,omitempty"`
	Labels string `json:"labels,omitempty"`
	// The columns: Key is in both, Label in the labels, the rest in the
	// predictions. Prediction is a class or a number; Score, for auc and logLoss,
	// the probability of the class Positive, and Prediction if empty. Scores are, by
	// class, the columns with the probability of each of several classes. Time is
	// when it was made, the object's arrival if empty. Version is the model
	// version that made it; with it, only the champion's count.
	Key        string            `json:"key,omitempty"`
	Prediction string            `json:"prediction,omitempty"`
	Label      string            `json:"label,omitempty"`
	Score      string            `json:"score,omitempty"`
	Scores     map[string]string `json:"scores,omitempty"`
	Time       string            `json:"time,omitempty"`
	Version    string            `json:"version,omitempty"`

	// Metric is accuracy, f1, precision, recall, balancedAccuracy, auc,
	// averagePrecision, logLoss, brier, mae, rmse, mape, r2, ndcg or precisionAtK.
	// Of source cloudwatch it is the metric's name.
	Metric string `json:"metric,omitempty"`
	// Average is how f1 is taken over the classes: of the Positive one alone
	// (binary), the mean of all (macro), weighted by their labels (weighted), or of
	// all decisions together (micro). If empty it is binary where the classes are
	// two and one of them is Positive, macro otherwise.
	Average  string `json:"average,omitempty" enum:"binary,macro,weighted,micro"`
	Positive string `json:"positive,omitempty"` // 1, true or yes if empty
	// LabelsWithin is how long a prediction waits for its label; the window if
	// zero.
	LabelsWithin Duration `json:"labelsWithin,omitempty"`
	// Of ndcg and precisionAtK: Group is the column that says which list a
	// prediction is of, Score orders it, Label is its relevance, and the first K
	// count, 10 if zero.
	Group string `json:"group,omitempty"`
	K     int    `json:"k,omitempty" min:"1"`
	// Estimate has the metric estimated on the predictions that have no label
	// (cbpe, or dle of numbers), calibrated on those made in the time of Calibration
	// that have one, four windows if zero. Features are columns of numbers that a
	// loss goes by, beside the prediction.
	Estimate    string   `json:"estimate,omitempty" enum:"cbpe,dle"`
	Features    []string `json:"features,omitempty"`
	Calibration Duration `json:"calibration,omitempty"`
	// Detector follows the errors of predictions one by one, in the order in which
	// their labels came, and has the signal's value be 1 where it found drift in
	// the window, 0.5 where it warns, and 0 otherwise: adwin, adwin_keep, ddm, eddm,
	// hddm_a, hddm_a_two_sided, hddm_w, hddm_w_two_sided, page_hinkley or kswin.
	Detector string `json:"detector,omitempty" enum:"adwin,adwin_keep,ddm,eddm,hddm_a,hddm_a_two_sided,hddm_w,hddm_w_two_sided,page_hinkley,kswin"`

	// Of source report: what another tool has measured, in objects whose key begins
	// with Path, or POSTed as the data of an event of the type or source Event. Metric is of
	// evidently and nannyml: share (if empty), columns, score, drifted, rows; of
	// model-monitor: violations (if empty), rows, missing, mean, stdDev, min, max.
	// Column is the column it is of, of nannyml with its method: age_chi2. Pointer
	// is where the number of a json report is, as a JSON pointer: /drift/share.
	Format  string `json:"format,omitempty" enum:"evidently,nannyml,model-monitor,json"`
	Event   string `json:"event,omitempty"`
	Column  string `json:"column,omitempty"`
	Pointer string `json:"pointer,omitempty"`

	// Of source cloudwatch, beside Metric. The value is that of the newest
	// datapoint whose Period, of whole minutes or 1s, 5s, 10s, 20s or 30s, is over.
	Namespace  string            `json:"namespace,omitempty"`
	Dimensions map[string]string `json:"dimensions,omitempty"`
	Stat       string            `json:"stat,omitempty"`   // Average, Sum, Minimum, Maximum, SampleCount, IQM, p99, tm90, TM(10%:90%), …
	Period     Duration          `json:"period,omitempty"` // 5m if zero
	Region     string            `json:"region,omitempty"` // that of the daemon's settings if empty
}

// IsDrift reports whether the signal is the drift of a window.
func (s Signal) IsDrift() bool {
	return s.Source != SourcePredictions && s.Source != SourceReport && s.Source != SourceCloudWatch && s.Reduce == "" && s.Quality == ""
}

// IsPerformance reports whether the signal is a metric of predictions.
func (s Signal) IsPerformance() bool { return s.Source == SourcePredictions }

// IsQuality reports whether the signal is about the quality of data.
func (s Signal) IsQuality() bool { return s.Source == SourceData && s.Quality != "" }

// IsReport reports whether the signal is what another tool has measured.
func (s Signal) IsReport() bool { return s.Source == SourceReport }

// IsFed reports whether objects of its own feed the signal: they are no training
// data, and need no trigger.
func (s Signal) IsFed() bool { return s.IsPerformance() || s.IsReport() }

// IsDetector reports whether the signal is a detector on the errors of
// predictions.
func (s Signal) IsDetector() bool { return s.IsPerformance() && s.Detector != "" }

// IsMetric reports whether the signal is a metric of CloudWatch.
func (s Signal) IsMetric() bool { return s.Source == SourceCloudWatch }

// Window is the data a signal looks at: the newest Objects objects for drift,
// the predictions made Since so long ago for a metric. In YAML also the latter
// alone: window: 7d.
type Window struct {
	Objects int      `json:"objects,omitempty" min:"1"`
	Since   Duration `json:"since,omitempty"`
}

// UnmarshalText reads a length of time.
func (w *Window) UnmarshalText(text []byte) error {
	*w = Window{}
	return w.Since.UnmarshalText(text)
}

// UnmarshalJSON reads the object, or a length of time.
func (w *Window) UnmarshalJSON(data []byte) error {
	var word string
	if json.Unmarshal(data, &word) == nil {
		return w.UnmarshalText([]byte(word))
	}
	type plain Window
	return json.Unmarshal(data, (*plain)(w))
}

// A Trigger wakes the policy; it never decides. It has either an Event or a
// Schedule.
type Trigger struct {
	ID    string `json:"id"`
	Event *Match `json:"event,omitempty"`
	// Debounce gathers events, and wakes the policy once for all of them.
	Debounce *Debounce `json:"debounce,omitempty"`
	Schedule *Schedule `json:"schedule,omitempty"`
}

// Match chooses events; what is empty matches everything.
type Match struct {
	Source string `json:"source,omitempty"` // equal to the event's
	Type   string `json:"type,omitempty"`   // equal to the event's
	Match  string `json:"match,omitempty"`  // CEL over `event`
}

// Debounce says when what was gathered is decided on: once it has been quiet,
// and the minima are reached; at the latest MaxWait after the first event.
type Debounce struct {
	Quiet   Duration `json:"quiet,omitempty"`            // since the last event; none if zero
	MaxWait Duration `json:"maxWait,omitempty" min:"1s"` // 1d, or quiet if that is longer, if zero
	MinRows int64    `json:"minRows,omitempty"`          // in the objects gathered
	// MinObjects counts each version of an object.
	MinObjects int64 `json:"minObjects,omitempty"`
	// Key is CEL over event and model, a string: events are gathered apart by
	// it. All together if empty.
	Key string `json:"key,omitempty"`
}

// A Schedule wakes the policy at the ticks of Cron, in spec.timeZone.
type Schedule struct {
	Cron string `json:"cron"` // minute, hour, day of month, month, day of week
	// CatchUp is what becomes of ticks that were missed: none (if empty),
	// latest or all.
	CatchUp  string   `json:"catchUp,omitempty" enum:"none,latest,all"`
	Deadline Duration `json:"deadline,omitempty" min:"1m"` // how late a missed tick may be made up; a year if zero
	Jitter   Duration `json:"jitter,omitempty"`            // each tick comes later by less than this; none if zero
	Max      int      `json:"max,omitempty" min:"1"`       // how many catchUp all makes up at most; 24 if zero
}

// A Rule wants a run when If is true.
type Rule struct {
	ID  string `json:"id"`
	If  string `json:"if"` // CEL, boolean
	For *For   `json:"for,omitempty"`
}

// For asks that a rule be true in Windows of the last Of distinct windows of
// the signals it reads.
type For struct {
	Windows int `json:"windows" min:"1"`
	Of      int `json:"of,omitempty" min:"1"` // Windows if zero
}

// Guards can veto a run, never start one. They are asked in a fixed order,
// breaker, blackout, backoff, cooldown, concurrency, budget, and the first veto
// is the reason.
type Guards struct {
	Cooldown    *Cooldown    `json:"cooldown,omitempty"`
	Concurrency *Concurrency `json:"concurrency,omitempty"`
	Breaker     *Breaker     `json:"breaker,omitempty"`
	Blackout    []Blackout   `json:"blackout,omitempty"`
	Backoff     *Backoff     `json:"backoff,omitempty"`
	Budget      *Budget      `json:"budget,omitempty"`
}

// Cooldown defers a run until For after the end of the model group's last run.
type Cooldown struct {
	After string   `json:"after,omitempty" enum:"success,failure,any"` // success (if empty), failure or any: which ends count
	For   Duration `json:"for" min:"1s"`

	Bypass NotBuilt `json:"bypass,omitzero"`
}

// Concurrency limits the runs that are open at a time under one key.
type Concurrency struct {
	Key   string `json:"key,omitempty"`           // CEL over model and parameters, a string; model.group if empty
	Limit int    `json:"limit,omitempty" min:"1"` // 1 if zero; none with allow-all
	// Overlap is what happens past the limit, by Temporal's names:
	//
	//	skip             holds (if empty)
	//	buffer-one       holds, and decides the newest again when a run under the key has ended
	//	buffer-all       the same, for each in turn
	//	cancel-other     holds, stops the oldest run under the key, and decides again when it has ended
	//	terminate-other  runs at once, and stops the oldest
	//	allow-all        runs: there is no limit
	Overlap string `json:"overlap,omitempty" enum:"skip,buffer-one,buffer-all,cancel-other,terminate-other,allow-all"`
}

// Breaker holds, once as many runs of the model group as it says have failed,
// or have succeeded and not been promoted, Within the time before: until a
// person resumes the policy, or enough of them are longer ago.
type Breaker struct {
	Failed      int      `json:"failed,omitempty" min:"1"`
	NotPromoted int      `json:"notPromoted,omitempty" min:"1"`
	Within      Duration `json:"within,omitempty" min:"1s"` // 2w if zero
}

// A Blackout is a time in which no run is decided on: For from each time that
// Cron names in spec.timeZone.
type Blackout struct {
	Cron   string   `json:"cron"` // minute, hour, day of month, month, day of week
	For    Duration `json:"for" min:"1s"`
	Reason string   `json:"reason,omitempty"`
}

// Backoff defers a run after failures of the model group in a row: Initial
// after the first, then Factor times longer after each, at most Max.
type Backoff struct {
	After   string   `json:"after,omitempty"` // failure, the only choice
	Initial Duration `json:"initial" min:"1s"`
	Factor  float64  `json:"factor,omitempty" min:"1"` // 2 if zero
	Max     Duration `json:"max,omitempty" min:"1s"`   // 1d, or initial if that is longer, if zero
}

// Budget defers a run while Runs have been decided on for the model group,
// by whichever policy, in the time Per before.
type Budget struct {
	Runs int      `json:"runs" min:"1"`
	Per  Duration `json:"per" min:"1s"`

	USD     NotBuilt `json:"usd,omitzero"`
	Reserve NotBuilt `json:"reserve,omitzero"`
}

// Approval asks a person before a run is started: where If is true, or unknown,
// the decision waits for an answer until Timeout is over. A policy asks once at
// a time, and an approved run starts whatever the rules say by then; no guard
// is skipped.
type Approval struct {
	If      string   `json:"if,omitempty"` // CEL, boolean, over what a rule sees and cost; always if empty
	Timeout Duration `json:"timeout" min:"1s"`
	// OnTimeout is what happens when nobody has answered: hold (if empty) or
	// run.
	OnTimeout string `json:"onTimeout,omitempty" enum:"hold,run"`
}

// Run says what is started. Input and the parts of Model are constants, or
// {expr: CEL}, at any depth.
type Run struct {
	Executor     string         `json:"executor,omitempty" enum:"embedded,step-functions"` // embedded if empty
	StateMachine StateMachine   `json:"stateMachine"`
	Input        map[string]any `json:"input,omitempty"`
	Timeout      Duration       `json:"timeout,omitempty"` // of the whole run; none if zero
	Cost         *Cost          `json:"cost,omitempty"`
	Model        *RunModel      `json:"model,omitempty"`
}

// Cost is what a run costs.
type Cost struct {
	// ForecastUSD is what one is expected to cost, a number or {expr: CEL} over
	// what a rule sees: cost.forecastUSD in rules, the approval and the input.
	ForecastUSD any `json:"forecastUSD"`
}

// StateMachine names a definition in the Amazon States Language: a File for the
// embedded executor, an ARN for Step Functions.
type StateMachine struct {
	File string `json:"file,omitempty"` // relative to the policy's file; beside an ARN, what `anneal check` looks at
	// ARN is that of a state machine, of a version (:7) or an alias (:PROD):
	// written, {env: NAME} or {file: PATH}.
	ARN any `json:"arn,omitempty"`
}

// RunModel says how a run becomes a model: a candidate exists if State
// succeeded, and may be promoted only if the run did.
type RunModel struct {
	State    string `json:"state"`
	Artifact any    `json:"artifact"`          // gives a string, the artifact's URI
	Metrics  any    `json:"metrics,omitempty"` // gives a map; what is not a number in it is no metric
	// Importance gives what columns are worth to the model, an object of numbers from 0
	// on or a list of {feature, importance}, or null: drift is weighed by it.
	Importance any `json:"importance,omitempty"`
}

// Promotion says when a candidate replaces the champion. The first candidate of
// a group is promoted unasked; without it, it is the only one.
type Promotion struct {
	If string `json:"if"` // CEL over candidate and champion

	Through NotBuilt `json:"through,omitzero"`
}

// Notify sends notices to a channel of the settings.
type Notify struct {
	Events []anneal.NoticeKind `json:"events" enum:"decided,started,succeeded,failed,promoted,held,parked"` // decided is every decision, held what a person need know of them
	To     string              `json:"to"`
}

// JSON is the spec in its canonical encoding: equal specs give equal bytes.
func (s Spec) JSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("encode policy %s: %w", s.Metadata.Name, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// ParseSpec reads what JSON wrote, numbers digit for digit, so that the spec
// has the same revision.
func ParseSpec(data []byte) (Spec, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var s Spec
	if err := dec.Decode(&s); err != nil {
		return Spec{}, fmt.Errorf("read policy: %w", err)
	}
	return s, nil
}

// digest is the hex SHA-256 of data.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
