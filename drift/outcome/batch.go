package outcome

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/sketch"
)

// MostRows is how many rows a batch, and either side of a join, keeps; beyond,
// it keeps a sample of the keys.
const MostRows = 1 << 17

// MostClasses is how many different classes an object may have.
const MostClasses = 10_000

// mostScores is how many scores a batch, and a join, keeps, where there is one for
// each of several classes: rows times classes.
const mostScores = 1 << 20

// A Form says what is read of an object: the columns, by name.
type Form struct {
	Labels bool   // it holds labels, not predictions
	Key    string // what predictions and labels are joined by
	// Value is what was predicted, or what came true: a number, or else a class.
	// Empty where the Score is enough.
	Value   string
	Numbers bool

	// Of predictions; each may be empty.
	Score  string // probability of a class, or what a list is ordered by
	Scores Scores // probability of each of several classes
	// Features are numbers that an estimate goes by, beside the Value; some may be
	// missing. There are none where there are Scores.
	Features []string
	Group    string // the list that a row is of
	Time     string // when it was made
	Version  string // of the model
}

// Scores are the columns with the probability of each class, by class.
type Scores map[string]string

// Classes are those classes, in the order in which batches and joins have them.
func (s Scores) Classes() []string { return slices.Sorted(maps.Keys(s)) }

// several are the columns of which a row has a number each.
func (f Form) several() []string { return append(f.Scores.columns(), f.Features...) }

// columns are those columns, in that order.
func (s Scores) columns() []string {
	var columns []string
	for _, class := range s.Classes() {
		columns = append(columns, s[class])
	}
	return columns
}

// A Batch is what was read of one object.
type Batch struct {
	Rows     int64 // of the object
	Ragged   int64 // rows skipped: more or fewer fields than the header, or no JSON object
	Unusable int64 // rows without a key, or without what was predicted or came true
	Untimed  int64 // rows whose time could not be read; they count as made when they came
	// Level says how many rows were kept: those of every 2^Level-th key.
	Level int

	keys     []uint64
	classes  names
	numbers  []float64
	scores   []float64
	many     []float64 // of Scores or Features, a row after the other
	times    []int64   // milliseconds since 1970; noTime where there is none
	versions names
	groups   []uint64 // hashes of their names
}

// names are names that are repeated often: each once, and which of them each
// row has.
type names struct {
	list []string
	of   []uint32
}

const noTime = math.MinInt64

// Kept is how many rows the batch holds.
func (b *Batch) Kept() int { return len(b.keys) }

// full reports whether rows are more than are kept.
func full(rows, scores int) bool { return rows > MostRows || scores > mostScores }

// sampled reports whether a key is among those kept at a level.
func sampled(key uint64, level int) bool { return key>>(64-level) == 0 }

// Read reads an object to its end. An object that cannot be read, or that lacks
// one of the columns, is a [*dataset.Error]; other errors are r's, or ctx's.
func Read(ctx context.Context, r io.Reader, name string, form Form, opt dataset.Options) (*Batch, error) {
	opt.Columns = form.columns()
	d, err := dataset.Open(withContext{ctx, r}, name, opt)
	if err != nil {
		return nil, err
	}
	cut := reading{form: form, at: map[string]int{}, classes: map[string]uint32{}, versions: map[string]uint32{}}
	for _, column := range form.wanted() {
		i := slices.Index(d.Names(), column)
		if i < 0 {
			return nil, &dataset.Error{Name: name, Reason: fmt.Sprintf("has no column %q (have %s)", column, some(d.Names()))}
		}
		cut.at[column] = i
	}
	for {
		rows, err := d.Read()
		if err == nil {
			err = ctx.Err()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := cut.add(rows); err != nil {
			return nil, &dataset.Error{Name: name, Reason: err.Error()}
		}
	}
	counts := d.Counts()
	cut.batch.Rows, cut.batch.Ragged = counts.Rows, counts.Ragged
	if err := counts.Check(name); err != nil {
		return nil, err
	}
	if b := &cut.batch; b.Rows > 0 && b.Unusable == b.Rows {
		return nil, &dataset.Error{Name: name, Reason: fmt.Sprintf("has no row that can be used: want %s", form.want())}
	}
	return &cut.batch, nil
}

// want says in words what a row needs.
func (f Form) want() string {
	what := []string{fmt.Sprintf("a key in column %q", f.Key)}
	switch {
	case f.Numbers:
		what = append(what, fmt.Sprintf("a number in %q", f.Value))
	case f.Value != "":
		what = append(what, fmt.Sprintf("a class in %q", f.Value))
	}
	if f.Score != "" {
		what = append(what, fmt.Sprintf("a probability in %q", f.Score))
	}
	if len(f.Scores) > 0 {
		what = append(what, fmt.Sprintf("a probability in each of %s", some(f.Scores.columns())))
	}
	if f.Group != "" {
		what = append(what, fmt.Sprintf("a group in %q", f.Group))
	}
	return strings.Join(what, " and ")
}

// wanted are the columns that an object must have.
func (f Form) wanted() []string {
	columns := append([]string{f.Key, f.Value, f.Score, f.Time, f.Version, f.Group}, f.several()...)
	return slices.DeleteFunc(columns, func(c string) bool { return c == "" })
}

// columns are the types that the columns are read as: a key is text, even if it
// looks like a number.
func (f Form) columns() map[string]dataset.Type {
	types := map[string]dataset.Type{}
	for _, c := range f.wanted() {
		types[c] = dataset.Categorical
	}
	if f.Numbers {
		types[f.Value] = dataset.Numeric
	}
	if f.Score != "" {
		types[f.Score] = dataset.Numeric
	}
	for _, c := range f.several() {
		types[c] = dataset.Numeric
	}
	return types
}

// some are the first of many names.
func some(list []string) string {
	const most = 20
	text := strings.Join(list[:min(most, len(list))], ", ")
	if len(list) > most {
		text += ", …"
	}
	return text
}

// reading is a batch in the making.
type reading struct {
	form              Form
	at                map[string]int // by column
	batch             Batch
	classes, versions map[string]uint32
}

func (r *reading) add(rows *dataset.Batch) error {
	b, f := &r.batch, r.form
	text := func(column string, row int) []byte {
		if values := &rows.Columns[r.at[column]]; row < len(values.Text) {
			return values.Text[row]
		}
		return nil
	}
	number := func(column string, row int) float64 {
		if values := &rows.Columns[r.at[column]]; row < len(values.Numbers) {
			return values.Numbers[row]
		}
		return math.NaN()
	}
	columns := f.several()
	many := make([]float64, len(columns))
	for row := range rows.Rows {
		key := text(f.Key, row)
		var class []byte
		value, score := math.NaN(), math.NaN()
		usable := key != nil
		switch {
		case f.Numbers:
			value = number(f.Value, row)
			usable = usable && value-value == 0
		case f.Value != "":
			class = text(f.Value, row)
			usable = usable && class != nil
		}
		if f.Score != "" {
			score = number(f.Score, row)
			usable = usable && score-score == 0
		}
		for i, column := range columns {
			many[i] = number(column, row)
			switch {
			case many[i]-many[i] == 0:
			case len(f.Scores) > 0:
				usable = false
			default:
				many[i] = math.NaN()
			}
		}
		var group []byte
		if f.Group != "" {
			group = text(f.Group, row)
			usable = usable && group != nil
		}
		if !usable {
			b.Unusable++
			continue
		}
		hash := sketch.Hash(key)
		if !sampled(hash, b.Level) {
			continue
		}
		b.keys = append(b.keys, hash)
		if f.Numbers {
			b.numbers = append(b.numbers, value)
		}
		if class != nil {
			b.classes.add(class, r.classes)
			if len(b.classes.list) > MostClasses {
				return fmt.Errorf("has more than %d classes in column %q: numbers are measured by mae or rmse", MostClasses, f.Value)
			}
		}
		if f.Score != "" {
			b.scores = append(b.scores, score)
		}
		b.many = append(b.many, many...)
		if f.Time != "" {
			at, ok := moment(string(text(f.Time, row)))
			if !ok {
				b.Untimed++
			}
			b.times = append(b.times, at)
		}
		if f.Group != "" {
			b.groups = append(b.groups, sketch.Hash(group))
		}
		if f.Version != "" {
			b.versions.add(text(f.Version, row), r.versions)
		}
		if full(len(b.keys), len(b.many)) {
			b.thin()
		}
	}
	return nil
}

func (n *names) add(name []byte, index map[string]uint32) {
	i, ok := index[string(name)]
	if !ok {
		i = uint32(len(n.list))
		index[string(name)] = i
		n.list = append(n.list, string(name))
	}
	n.of = append(n.of, i)
}

// thin keeps every second key.
func (b *Batch) thin() {
	b.Level++
	to, each := 0, len(b.many)/len(b.keys)
	for i, key := range b.keys {
		if !sampled(key, b.Level) {
			continue
		}
		b.keys[to] = key
		move(b.numbers, to, i)
		move(b.classes.of, to, i)
		move(b.scores, to, i)
		copy(b.many[to*each:(to+1)*each], b.many[i*each:])
		move(b.times, to, i)
		move(b.versions.of, to, i)
		move(b.groups, to, i)
		to++
	}
	b.keys, b.many = b.keys[:to], cut(b.many, to*each)
	b.numbers, b.scores, b.times = cut(b.numbers, to), cut(b.scores, to), cut(b.times, to)
	b.classes.of, b.versions.of, b.groups = cut(b.classes.of, to), cut(b.versions.of, to), cut(b.groups, to)
}

func move[T any](list []T, to, from int) {
	if len(list) > 0 {
		list[to] = list[from]
	}
}

func cut[T any](list []T, n int) []T { return list[:min(n, len(list))] }

// moment reads a time: of RFC 3339 or ISO 8601, in UTC where it names no zone,
// or seconds or milliseconds since 1970.
func moment(text string) (milliseconds int64, ok bool) {
	if n, err := strconv.ParseFloat(text, 64); err == nil && n-n == 0 && math.Abs(n) < 1e15 {
		if math.Abs(n) < 1e11 { // seconds, until the year 5138
			n *= 1000
		}
		return int64(n), true
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UnixMilli(), true
		}
	}
	return noTime, false
}

// withContext ends the reading when ctx ends.
type withContext struct {
	ctx context.Context
	r   io.Reader
}

func (w withContext) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(p)
}

// Under is the reader itself, for formats that are not read from end to end.
func (w withContext) Under() io.Reader { return w.r }

var errDamaged = errors.New("damaged")
