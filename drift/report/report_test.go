package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/anneal-ml/anneal/drift/dataset"
)

func read(t *testing.T, name string, form Form) *Report {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := Read(t.Context(), f, name, form)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(kept, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*r, again); diff != "" {
		t.Fatalf("kept as JSON it is another (-want +got):\n%s", diff)
	}
	return &again
}

// TestValues asks reports as the tools write them. A problem is of what one does
// not say.
func TestValues(t *testing.T) {
	const none = -1
	for _, c := range []struct {
		file, format, metric, column string
		value, share                 float64
		problem                      string
	}{
		{"evidently-0.4.json", Evidently, Share, "", 2.0 / 3, 2.0 / 3, ""},
		{"evidently-0.4.json", Evidently, Columns, "", 2, 2.0 / 3, ""},
		{"evidently-0.4.json", Evidently, Score, "age", 0.3142, 2.0 / 3, ""},
		{"evidently-0.4.json", Evidently, Drifted, "job", 0, 2.0 / 3, ""},
		{"evidently-0.4.json", Evidently, Drifted, "plan", 1, 2.0 / 3, ""},
		{"evidently-0.4.json", Evidently, Rows, "", 0, none, "the report does not say how many rows there were"},
		{"evidently-0.4.json", Evidently, Score, "height", 0, none, `the report has no column "height" (have age, job, plan)`},
		{"evidently-0.7.json", Evidently, Share, "", 1.0 / 3, 1.0 / 3, ""},
		{"evidently-0.7.json", Evidently, Rows, "", 2400, 1.0 / 3, ""},
		{"evidently-0.7.json", Evidently, Drifted, "age", 1, 1.0 / 3, ""},
		{"evidently-0.7.json", Evidently, Drifted, "job", 0, 1.0 / 3, ""},
		{"evidently-0.7.json", Evidently, Drifted, "always 1", 0, none, `the report does not say whether "always 1" has drifted`},
		{"evidently-0.7.json", Evidently, Score, "always 1", 0, none, `the report has no score of "always 1"`},
		{"evidently-0.6.json", Evidently, Share, "", 1, 1, ""},
		{"evidently-0.6.json", Evidently, Score, "a, b", 0.5, 1, ""},
		{"nannyml.csv", NannyML, Share, "", 0.5, 0.5, ""},
		{"nannyml.csv", NannyML, Score, "car_value_jensen_shannon", 0.21, 0.5, ""},
		{"nannyml.csv", NannyML, Drifted, "salary_range_chi2", 0, 0.5, ""},
		{"nannyml.csv", NannyML, Rows, "", 5000, 0.5, ""},
		{"nannyml-cbpe.json", NannyML, Score, "roc_auc", 0.941, 1, ""},
		{"nannyml-columns.json", NannyML, Score, "reconstruction_error", 1.51, 1, ""},
		{"nannyml-columns.json", NannyML, Rows, "", 0, none, "the report does not say how many rows there were"},
		{"constraint_violations.json", ModelMonitor, Violations, "", 3, none, ""},
		{"constraint_violations.json", ModelMonitor, Violations, "Account Length", 2, none, ""},
		{"constraint_violations.json", ModelMonitor, Violations, "Day Mins", 0, none, ""},
		{"constraint_violations.json", ModelMonitor, Rows, "", 0, none, "the report does not say how many rows there were"},
		{"statistics.json", ModelMonitor, Rows, "", 1200, none, ""},
		{"statistics.json", ModelMonitor, Missing, "Account Length", 0.025, none, ""},
		{"statistics.json", ModelMonitor, Missing, "", 0.0125, none, ""},
		{"statistics.json", ModelMonitor, Mean, "Account Length", 101.5, none, ""},
		{"statistics.json", ModelMonitor, StdDev, "Account Length", 39.7, none, ""},
		{"statistics.json", ModelMonitor, Min, "Account Length", 1, none, ""},
		{"statistics.json", ModelMonitor, Max, "State", 0, none, `the report has no max of "State"`},
		{"statistics.json", ModelMonitor, Violations, "", 0, none, "the report is of no constraints: want constraint_violations.json"},
	} {
		v, problem := read(t, c.file, Form{Format: c.format}).Value(c.metric, c.column)
		share := float64(none)
		if v.Share != nil {
			share = *v.Share
		}
		if math.Abs(v.Value-c.value) > 1e-12 || math.Abs(share-c.share) > 1e-12 || problem != c.problem {
			t.Errorf("%s of %q in %s: %v, share %v, problem %q; want %v, %v, %q", c.metric, c.column, c.file, v.Value, share, problem, c.value, c.share, c.problem)
		}
	}
	v, _ := read(t, "nannyml-cbpe.json", Form{Format: NannyML}).Value(Score, "roc_auc")
	if v.Low == nil || *v.Low != 0.936 || v.High == nil || *v.High != 0.946 {
		t.Errorf("an estimate's band is %v to %v, want 0.936 to 0.946", v.Low, v.High)
	}
}

// TestNumber points into any JSON.
func TestNumber(t *testing.T) {
	const doc = `{"a": {"b/c": [{"v": 1.5}, true, "x"]}, "d~": 2, "": {"": 7}, "n": NaN}`
	for pointer, want := range map[string]string{
		"/a/b~1c/0/v": "1.5", "/a/b~1c/1": "1", "/d~0": "2", "//": "7",
		"/a/x":      "x.json has nothing at /a/x (have b/c)",
		"/a/b~1c/3": "x.json has nothing at /a/b~1c/3 (have 3 items)",
		"/a/b~1c/2": `x.json has no number at "/a/b~1c/2", but "x"`,
		"/a":        `x.json has no number at "/a", but {"b/c":[{"v":1.5},true,"x"]}`,
		"/n":        `x.json has no number at "/n", but null`,
	} {
		r, err := Read(t.Context(), strings.NewReader(doc), "x.json", Form{Format: JSON, Pointer: pointer})
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			v, _ := r.Value(Number, "")
			b, _ := json.Marshal(v.Value)
			got = string(b)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", pointer, got, want)
		}
	}
}

// TestUnreadable: what is no report of its format is refused, and why.
func TestUnreadable(t *testing.T) {
	for _, c := range []struct{ name, format, data, want string }{
		{"x.json", Evidently, `{"metrics": [`, "x.json is not JSON at byte 13: unexpected end of JSON input"},
		{"x.json", Evidently, `[]`, "x.json is array, and no object"},
		{"x.json", Evidently, `{}`, `x.json is no report of Evidently: want {"metrics": […]}, as its save_json writes`},
		{"x.json", Evidently, `{"metrics": [{"metric": "ColumnSummaryMetric", "result": {}}]}`, "x.json has no metric of drift: want DataDriftPreset, DriftedColumnsCount or ValueDrift (have ColumnSummaryMetric)"},
		{"x.json", Evidently, `{"metrics": [{"metric_name": "DriftedColumnsCount()", "value": 3}]}`, "x.json has a DriftedColumnsCount without count and share: 3"},
		{"x.json", Evidently, `{"metrics": [{"metric": "DatasetDriftMetric", "result": {"number_of_columns": 2, "number_of_drifted_columns": 3}}]}`, "x.json says that 3 of 2 columns have drifted"},
		{"x.json", Evidently, `{"metrics": [{"metric": 3}]}`, "x.json has at metrics.metric number: want string"},
		{"x.json", NannyML, `[{"chunk_key": "a"}]`, "x.json is no result of NannyML: no column ends in _alert (have chunk_key); write it with to_df(multilevel=False)"},
		{"x.json", NannyML, `[{"a_alert": "perhaps"}]`, `x.json has at a_alert "perhaps": want true or false`},
		{"x.json", NannyML, `[{"chunk_period": "reference", "a_alert": true}]`, "x.json has no chunk that is analysed: all are of the reference, or there is none"},
		{"x.csv", NannyML, "chunk,chunk.1,age\nkey,period,jensen_shannon\n", "x.csv is no result of NannyML: no column ends in _alert (have age, chunk, chunk.1); write it with to_df(multilevel=False)"},
		{"x.csv", NannyML, "", "x.csv is empty: want a header line"},
		{"x.json", ModelMonitor, `{"violations": [{"feature_name": "a"}]}`, "x.json has at violations[0] no feature_name or no constraint_check_type"},
		{"x.json", ModelMonitor, `{"binary_classification_metrics": {}}`, "x.json is no report of Model Monitor on data: want the violations of constraint_violations.json, or the dataset.item_count and features of statistics.json"},
		{"x.json", ModelMonitor, `{"dataset": {"item_count": 3}, "features": [{}]}`, "x.json has at features[0] no name"},
		{"x.json", Evidently, ``, "x.json is not JSON at byte 0: unexpected end of JSON input"},
		{"x.json", Evidently, "\x00\xff", "x.json is not JSON at byte 1: invalid character '\\x00' looking for beginning of value"},
		{"x.json", Evidently, `null`, "x.json is null, and no object"},
		{"x.json", Evidently, `{"metrics": "none"}`, "x.json has at metrics string: want a list"},
		{"x.json", Evidently, `{"metrics": null}`, `x.json is no report of Evidently: want {"metrics": […]}, as its save_json writes`},
		{"x.json", Evidently, `{"metrics": [{"metric_name": "DriftedColumnsCount()", "value": {"count": 1e300, "share": 1}}]}`, `x.json has a DriftedColumnsCount of no columns that there can be: {"count": 1e300, "share": 1}`},
		{"x.json", Evidently, `{"metrics": [{"metric_name": "DriftedColumnsCount()", "value": {"count": 3, "share": 0}}]}`, `x.json has a DriftedColumnsCount of no columns that there can be: {"count": 3, "share": 0}`},
		{"x.json", NannyML, `{}`, "x.json has no chunk that is analysed: all are of the reference, or there is none"},
		{"x.json", NannyML, `[]`, "x.json has no chunk that is analysed: all are of the reference, or there is none"},
		{"x.json", NannyML, `[1]`, "x.json has a row that is number, and no object; write it with to_df(multilevel=False)"},
		{"x.json", NannyML, `"age"`, "x.json is string, and no list; write it with to_df(multilevel=False)"},
		{"x.json", NannyML, `{"a_alert": [true]}`, `x.json is no result of NannyML: column "a_alert" is array, and no values by row; write it with to_df(multilevel=False)`},
		{"x.json", NannyML, `{"a_alert": {"one": true}}`, `x.json is no result of NannyML: "one" of column "a_alert" is no row; write it with to_df(multilevel=False)`},
		{"x.json", ModelMonitor, `{"violations": {"a": 1}}`, "x.json has at violations object: want a list"},
		{"x.json", ModelMonitor, `{"violations": [{"feature_name": ["a"]}]}`, "x.json has at violations.feature_name array: want string"},
		{"x.json", ModelMonitor, `{"dataset": {"item_count": -1}}`, "x.json has at dataset.item_count -1: want a number of rows"},
		{"x.json", JSON, `1e400`, "x.json has at /drift number 1e400: want float64"},
	} {
		form := Form{Format: c.format}
		if c.format == JSON {
			form.Pointer = "/drift"
			c.data = `{"drift": ` + c.data + `}`
		}
		_, err := Read(t.Context(), strings.NewReader(c.data), c.name, form)
		var e *dataset.Error
		if !errors.As(err, &e) || err.Error() != c.want {
			t.Errorf("%s of %s:\n%v, want\n%s", c.data, c.format, err, c.want)
		}
	}
}

// TestSmall: what a report says is taken, however little it is.
func TestSmall(t *testing.T) {
	for _, c := range []struct {
		format, metric, column, data string
		want                         float64
	}{
		{Evidently, Share, "", `{"metrics": [{"metric_name": "DriftedColumnsCount()", "value": {"count": 0.0, "share": 0.0}}]}`, 0},
		{Evidently, Columns, "", `{"metrics": [{"metric_name": "DriftedColumnsCount()", "value": {"count": 2, "share": 0.25}}]}`, 2},
		{Evidently, Share, "", `{"metrics": [{"metric_name": "DriftedColumnsCount()", "value": {"count": 2, "share": 0.25}}]}`, 0.25},
		{NannyML, Drifted, "a", `{"a_alert":{"1":true,"0":false,"2":true},"period":{"2":"reference","0":"analysis","1":"analysis"}}`, 1},
		{NannyML, Share, "", `[{"a_alert": true}, {"a_alert": false, "chunk_period": "analysis"}, {"a_alert": true, "chunk_period": "reference"}]`, 0},
		{ModelMonitor, Violations, "", `{"violations": []}`, 0},
		{ModelMonitor, Rows, "", `{"violations": null, "dataset": {"item_count": 7}}`, 7},
		{JSON, Number, "", `{"drift": 1, "\u0064rift": 2}`, 2},
	} {
		r, err := Read(t.Context(), strings.NewReader(c.data), "x.json", Form{Format: c.format, Pointer: "/drift"})
		if err != nil {
			t.Errorf("%s: %v", c.data, err)
			continue
		}
		if v, problem := r.Value(c.metric, c.column); v.Value != c.want || problem != "" {
			t.Errorf("%s of %s: %v, %q, want %v", c.metric, c.data, v.Value, problem, c.want)
		}
	}
}

// TestHuge: of a report that goes on and on, no more is kept than asked for, and one
// of too many columns is refused.
func TestHuge(t *testing.T) {
	const size = 4 << 20
	long := func(head, tail string, item func(i int) string) string {
		b := []byte(head)
		for i := 0; len(b) < size; i++ {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, item(i)...)
		}
		return string(b) + tail
	}
	for _, c := range []struct {
		name string
		form Form
		data string
		want string // of the error
	}{
		{"a list", Form{Format: JSON, Pointer: "/9"}, long("[", "]", func(int) string { return "1" }), ""},
		{"an object", Form{Format: JSON, Pointer: "/k9"}, long("{", "}", func(i int) string { return fmt.Sprintf(`"k%d":1`, i) }), ""},
		{"lists in lists", Form{Format: JSON, Pointer: "/0"}, strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "exceeded max depth"},
		{"chunks", Form{Format: NannyML}, long("[", "]", func(int) string { return `{"a_alert":1}` }), ""},
		{"columns of a chunk", Form{Format: NannyML}, long("[{", "}]", func(i int) string { return fmt.Sprintf(`"k%d_alert":1`, i) }), "more than 10,000 columns"},
		{"columns of results", Form{Format: NannyML}, long("{", "}", func(i int) string { return fmt.Sprintf(`"k%d_alert":{"0":1}`, i) }), "more than 10,000 columns"},
		{"rows of results", Form{Format: NannyML}, long(`{"a_alert":{`, "}}", func(i int) string { return fmt.Sprintf(`"%d":1`, i) }), ""},
		{"metrics", Form{Format: Evidently}, long(`{"metrics":[`, "]}", func(i int) string {
			return fmt.Sprintf(`{"metric":"ColumnDriftMetric","result":{"column_name":"k%d"}}`, i)
		}), "more than 10,000 columns"},
		{"the same metric", Form{Format: Evidently}, long(`{"metrics":[`, "]}", func(int) string { return `{"metric":"ColumnDriftMetric","result":{"column_name":"k"}}` }), ""},
		{"violations", Form{Format: ModelMonitor}, long(`{"violations":[`, "]}", func(i int) string { return fmt.Sprintf(`{"feature_name":"k%d","constraint_check_type":"x"}`, i) }), "more than 10,000 columns"},
		{"violations of one", Form{Format: ModelMonitor}, long(`{"violations":[`, "]}", func(int) string { return `{"feature_name":"k","constraint_check_type":"x"}` }), `more than 100 violations of "k"`},
		{"features", Form{Format: ModelMonitor}, long(`{"dataset":{"item_count":1},"features":[`, "]}", func(i int) string { return fmt.Sprintf(`{"name":"k%d"}`, i) }), "more than 10,000 columns"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Read(t.Context(), strings.NewReader(c.data), "x.json", c.form)
		runtime.ReadMemStats(&after)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %.200v, want %q", c.name, err, c.want)
		}
		// Reading takes four times the size, as memory is doubled, and names come and go.
		if most := uint64(20 * size); after.TotalAlloc-before.TotalAlloc > most {
			t.Errorf("%s: %d MiB were allocated for %d", c.name, (after.TotalAlloc-before.TotalAlloc)>>20, len(c.data)>>20)
		}
	}
	_, err := Read(t.Context(), io.LimitReader(endless{}, 65<<20), "x.json", Form{Format: Evidently})
	if err == nil || err.Error() != "x.json is larger than 64 MiB, and no report" {
		t.Errorf("of 65 MiB: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// FuzzMembers holds the members of objects, and the items of lists, against those of
// encoding/json.
func FuzzMembers(f *testing.F) {
	for _, text := range []string{`{}`, `[ ]`, `{"a" : [1,{"b":"]}\\\""}] , "\u0061": null}`, "[1 ,\n-2e3,true , \"\xff\"]", `{"":{"a":{}}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		value, err := valid(data)
		if err != nil {
			return
		}
		switch value[0] {
		case '{':
			var want map[string]json.RawMessage
			if err := json.Unmarshal(value, &want); err != nil {
				t.Fatal(err)
			}
			got := map[string]json.RawMessage{}
			if err := members(value, func(name string, v []byte) error { got[name] = slices.Clone(v); return nil }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("members (-want +got):\n%s", diff)
			}
		case '[':
			var want, got []json.RawMessage
			if err := json.Unmarshal(value, &want); err != nil {
				t.Fatal(err)
			}
			items(value, func(v []byte) error { got = append(got, slices.Clone(v)); return nil })
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("items (-want +got):\n%s", diff)
			}
		}
	})
}

// TestFits keeps reports apart from what tools write beside them.
func TestFits(t *testing.T) {
	for _, c := range []struct {
		format, metric, name string
		want                 bool
	}{
		{ModelMonitor, Violations, "s3://b/m/constraint_violations.json", true}, {ModelMonitor, Violations, "s3://b/m/statistics.json", false},
		{ModelMonitor, Rows, "s3://b/m/statistics.json", true}, {ModelMonitor, Rows, "s3://b/m/constraints.json", false},
		{ModelMonitor, Rows, "s3://b/m/constraint_violations.json", false},
		{Evidently, Share, "r/a.json", true}, {Evidently, Share, "r/a.html", false}, {NannyML, Share, "r/a.parquet", true}, {NannyML, Share, "r/a.pkl", false},
	} {
		if got := Fits(c.format, c.metric, c.name); got != c.want {
			t.Errorf("%s, %s: %s fits: %v, want %v", c.format, c.metric, c.name, got, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"evidently-0.4.json", "evidently-0.7.json", "nannyml-cbpe.json", "nannyml-columns.json", "constraint_violations.json", "statistics.json"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range Formats() {
			r, err := Read(context.Background(), strings.NewReader(string(data)), "x.json", Form{Format: format, Pointer: "/a/0"})
			if err != nil {
				continue
			}
			for _, metric := range Metrics(format) {
				v, problem := r.Value(metric, "")
				if v.Share != nil && (*v.Share < 0 || *v.Share > 1) || problem == "" && v.Value-v.Value != 0 {
					t.Errorf("%s of %s: %+v", metric, format, v)
				}
			}
			if _, err := json.Marshal(r.Brief()); err != nil {
				t.Error(err)
			}
		}
	})
}
