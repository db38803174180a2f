package policy

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
)

// TestSignalProblems says what is wrong with a signal, and what would be right.
func TestSignalProblems(t *testing.T) {
	for _, c := range []struct {
		signal string
		want   []string // with the path of the signal left out
	}{
		{`{"source": "data", "window": {"objects": 3}}`, nil},
		{`{"source": "data", "window": {"objects": 3}, "test": "psi", "thresholds": {"psi": 0.2}, "alpha": 0.01, "correction": "holm", "ignore": ["id"], "minRows": 50}`, nil},
		{`{"source": "data", "window": {"objects": 3}, "tests": ["ks", "pis", "ks"]}`,
			[]string{`tests[1]: unknown value "pis": did you mean "psi"? (have ks, linf, psi, wasserstein, js, chi2, hellinger, tvd, t, energy, mw)`, `tests[2]: the test ks is given twice`}},
		{`{"source": "data", "window": {"objects": 3}, "test": "ks", "tests": ["ks"], "thresholds": {"psi": 1, "ks": -1}, "alpha": 2, "correction": "bh"}`,
			[]string{`test: choose test or tests, not both`, `thresholds.ks: a threshold is above 0`, `thresholds.psi: the test psi is not among those chosen: ks`,
				`alpha: alpha is a probability, such as 0.05`, `correction: unknown value "bh" (have fdr_bh, fdr_by, holm, bonferroni, none)`}},
		{`{"source": "data", "window": "7d", "key": "id"}`,
			[]string{`window: the window of a drift signal counts objects: {objects: 3}`, `key: key is for a signal over predictions (source: predictions)`}},
		{`{"source": "data", "window": {"objects": 3}, "rules": "evidently"}`, nil},
		{`{"source": "data", "window": {"objects": 3}, "rules": "nannyml", "tests": ["ks"], "alpha": 0.1}`, []string{
			`tests: the rules of nannyml choose the tests themselves: tests is for those of anneal`,
			`alpha: the rules of nannyml choose the tests themselves: alpha is for those of anneal`}},
		{`{"source": "data", "window": {"objects": 3}, "rules": "evidentally"}`, []string{`rules: unknown value "evidentally": did you mean "evidently"? (have anneal, evidently, nannyml)`}},
		{`{"source": "data", "reduce": "rows", "tests": ["ks"]}`, []string{`tests: tests is for a signal that is drift (window: {objects: 3})`}},

		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "prediction": "p", "label": "y", "metric": "accuracy", "window": "7d", "labelsWithin": "3d"}`, nil},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "prediction": "p", "label": "y", "metric": "auc"}`, nil},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "score": "p", "label": "y", "metric": "logLoss", "positive": "yes", "time": "at", "version": "model"}`, nil},
		{`{"source": "prediction"}`, []string{`source: unknown value "prediction": did you mean "predictions"? (have data, predictions, report, cloudwatch)`}},
		{`{"source": "predictions"}`, []string{
			`path: a signal over predictions needs path, what the keys of prediction objects begin with: path: predictions/`,
			`labels: a signal over predictions needs labels, what the keys of label objects begin with: labels: labels/`,
			`key: a signal over predictions needs key, the column that predictions and labels have in common: key: id`,
			`label: a signal over predictions needs label, the column of the labels that says what came true: label: class`,
			`metric: a signal over predictions needs a metric: accuracy, f1, precision, recall, balancedAccuracy, auc, averagePrecision, logLoss, brier, mae, rmse, mape, r2, ndcg, precisionAtK`,
		}},
		{`{"source": "predictions", "path": "p/", "labels": "p/", "key": "id", "label": "y", "metric": "acuracy", "window": {"objects": 3}}`, []string{
			`labels: predictions and labels are both under "p/": give each its own`,
			`metric: unknown value "acuracy": did you mean "accuracy"? (have accuracy, f1, precision, recall, balancedAccuracy, auc, averagePrecision, logLoss, brier, mae, rmse, mape, r2, ndcg, precisionAtK)`,
			`prediction: a signal over predictions needs prediction, the column with what was predicted: prediction: predicted`,
			`window: the window of a signal over predictions is a length of time: window: 7d`,
		}},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "prediction": "p", "label": "y", "metric": "mae", "score": "s", "average": "macro", "positive": "1", "reduce": "rows", "tests": ["ks"]}`, []string{
			`score: score is for a signal whose metric is auc, averagePrecision, logLoss, brier, ndcg or precisionAtK, or that has an estimate`,
			`average: average is for a signal whose metric is f1`,
			`positive: positive is for a signal whose metric is f1, precision, recall, auc, averagePrecision, logLoss or brier`,
			`reduce: reduce is for a signal over data (source: data)`,
			`tests: tests is for a signal that is drift (window: {objects: 3})`,
		}},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "score": "s", "group": "query", "metric": "ndcg", "k": 5}`, nil},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "s", "metric": "precisionAtK", "k": -1}`, []string{
			`score: a signal over predictions needs score, the column that orders a list: score: rank_score`,
			`group: a signal over predictions needs group, the column that says which list a row is of: group: query`,
			`prediction: prediction is for a signal whose metric is not of lists`, `k: -1 rows of a list: at least 1`,
		}},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "p", "metric": "mape", "group": "q"}`, []string{`group: group is for a signal whose metric is ndcg or precisionAtK`}},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "p", "score": "s", "metric": "recall", "positive": "a", "estimate": "cbpe", "calibration": "30d"}`, nil},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "p", "metric": "mae", "estimate": "guess", "detector": "ddm"}`, []string{
			`score: a signal over predictions needs score, the column with the probability that the estimate rests on: score: probability`,
			`estimate: unknown value "guess" (have cbpe, dle)`,
			`metric: mae cannot be estimated without labels (have accuracy, f1, precision, recall, auc, averagePrecision)`,
			`detector: a detector goes by labels: choose detector or estimate, not both`,
		}},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "p", "metric": "mae", "estimate": "dle", "features": ["heat"]}`, nil},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "p", "metric": "r2", "estimate": "dle", "score": "s"}`, []string{
			`score: score is for a signal whose metric is auc, averagePrecision, logLoss, brier, ndcg or precisionAtK, or that has an estimate`,
			`metric: r2 cannot be estimated without labels (have mae, rmse, mape)`,
		}},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "p", "metric": "mae", "features": ["heat"]}`, []string{`features: features is for a signal whose estimate is dle`}},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "scores": {"cat": "pc", "dog": "pd"}, "metric": "auc"}`, nil},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "scores": {"cat": "pc", "dog": "pd"}, "metric": "auc", "estimate": "cbpe"}`, nil},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "p", "scores": {"cat": "pc", "dog": "pd"}, "metric": "f1", "average": "weighted", "estimate": "cbpe"}`, nil},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "score": "s", "positive": "cat", "scores": {"cat": ""}, "metric": "accuracy"}`, []string{
			`score: score is for a signal without scores of several classes`,
			`scores: 1 scores: want those of 2 to 256 classes: scores: {cat: p_cat, dog: p_dog}`,
			`scores: each class has a column: scores: {cat: p_cat, dog: p_dog}`,
			`scores: scores is for a signal whose metric is auc or logLoss, or that has an estimate`,
			`positive: positive is for a signal whose metric is f1, precision, recall, auc, averagePrecision, logLoss or brier`,
		}},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "scores": {"cat": "pc", "dog": "pd"}, "metric": "f1", "average": "micro", "estimate": "cbpe"}`, []string{
			`prediction: a signal over predictions needs prediction, the column with the class that was predicted: prediction: predicted`,
			`average: an estimate of several classes is their mean: macro or weighted`,
		}},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "p", "scores": {"cat": "pc", "dog": "pd"}, "metric": "brier", "estimate": "cbpe"}`, []string{
			`metric: brier cannot be estimated without labels (have accuracy, f1, balancedAccuracy, auc)`,
		}},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "p", "metric": "accuracy", "calibration": "30d"}`, []string{`calibration: calibration is for a signal that has an estimate`}},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "p", "detector": "adwin"}`, nil},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "p", "metric": "mae", "detector": "page_hinkley"}`, nil},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "p", "metric": "mae", "detector": "ddm"}`, []string{`detector: ddm takes errors that are 0 or 1; of mae: adwin, adwin_keep, page_hinkley, kswin`}},
		{`{"source": "predictions", "path": "p/", "labels": "l/", "key": "id", "label": "y", "prediction": "p", "metric": "rmse", "detector": "adwim"}`, []string{
			`detector: unknown value "adwim": did you mean "adwin"? (have ddm, eddm, hddm_a, hddm_a_two_sided, hddm_w, hddm_w_two_sided, adwin, adwin_keep, page_hinkley, kswin)`,
			`metric: a detector follows errors: accuracy (right or wrong) or mae (how far off)`,
		}},
		{`{"source": "report", "format": "evidently", "path": "reports/"}`, nil},
		{`{"source": "report", "format": "nannyml", "event": "com.example.done", "metric": "score", "column": "roc_auc", "staleAfter": "2d"}`, nil},
		{`{"source": "report", "format": "model-monitor", "path": "s3://b/monitor/", "column": "age"}`, nil},
		{`{"source": "report", "format": "json", "path": "r/", "pointer": "/a/0"}`, nil},
		{`{"source": "report"}`, []string{
			`format: a report has a format: evidently, nannyml, model-monitor, json`,
			`path: a report comes as an object, path: reports/, or is POSTed, event: com.example.report`,
		}},
		{`{"source": "report", "format": "evidently", "event": "Object Created", "metric": "score", "pointer": "/a", "minRows": 3, "labels": "l/", "tests": ["ks"]}`, []string{
			`event: objects are found by path: reports/`, `column: score is of one column: say which`, `pointer: pointer is for format: json`,
			`minRows: minRows is for a signal over data (source: data)`, `tests: tests is for a signal that is drift (window: {objects: 3})`,
			`labels: labels is for a signal over predictions (source: predictions)`,
		}},
		{`{"source": "report", "format": "json", "path": "r/", "metric": "share", "column": "a"}`, []string{
			`metric: unknown value "share" (have number)`, `column: share is of the whole report, and of no column`, `pointer: says where the number is, as a JSON pointer: /drift/share`,
		}},
		{`{"source": "data", "quality": "rows"}`, nil},
		{`{"source": "data", "quality": "duplicates", "column": "id", "window": {"objects": 3}}`, nil},
		{`{"source": "data", "quality": "constant", "ignore": ["id"]}`, nil},
		{`{"source": "data", "quality": "constants", "column": "id", "reduce": "rows", "window": "7d"}`, []string{
			`quality: unknown value "constants": did you mean "constant"? (have rows, duplicates, no-rows, ragged, new-column, vanished-column, type-change, missing, range, constant, new-categories, vanished-categories)`,
			`window: the window of a signal over data counts objects: {objects: 3}`, `column: column is for quality: duplicates`,
			`reduce: reduce is for a signal that counts (reduce: rows)`,
		}},
		{`{"source": "data", "quality": "duplicates"}`, nil},
		{`{"source": "data", "quality": "duplicates", "ignore": ["loaded_at"]}`, nil},
		{`{"source": "data", "quality": "duplicates", "column": "id", "ignore": ["loaded_at"]}`, []string{
			`ignore: duplicates are of a column, or of whole rows without those to ignore`,
		}},
		{`{"source": "data", "quality": "duplicates", "tests": ["ks"]}`, []string{
			`tests: tests is for a signal that is drift, and asks for no quality`,
		}},
		{`{"source": "data", "quality": "rows", "window": {"objects": 3}}`, []string{`window: rows are those of the newest object`}},
		{`{"source": "data", "reduce": "rows", "format": "json", "detector": "ddm"}`, []string{
			`detector: detector is for a signal over predictions (source: predictions)`, `format: format is for a signal of another tool's report (source: report)`,
		}},
		{`{"source": "cloudwatch", "namespace": "AWS/SageMaker", "metric": "ModelLatency", "dimensions": {"EndpointName": "churn"}, "stat": "p99", "period": "5m", "staleAfter": "1h", "region": "eu-west-1"}`, nil},
		{`{"source": "cloudwatch", "namespace": "N", "metric": "accuracy", "stat": "TM(10%:90%)", "period": "10s"}`, nil},
		{`{"source": "cloudwatch"}`, []string{
			`namespace: a metric of CloudWatch needs a namespace: namespace: AWS/SageMaker`,
			`metric: a metric of CloudWatch needs its name: metric: ModelLatency`,
			`stat: a metric of CloudWatch needs a statistic: stat: p99`,
		}},
		{`{"source": "cloudwatch", "namespace": "N", "metric": "M", "stat": "avg", "period": "90s"}`, []string{
			`stat: "avg" is not a statistic of CloudWatch: Average, Sum, Minimum, Maximum, SampleCount, IQM, p99, tm90, TM(10%:90%)`,
			`period: a period of CloudWatch is whole minutes, to 1d, or 1s, 5s, 10s, 20s or 30s`,
		}},
		{`{"source": "cloudwatch", "namespace": "N", "metric": "M", "stat": "Sum", "period": "1h", "staleAfter": "30m"}`, []string{
			`staleAfter: the newest datapoint is up to a period old: at least 1h`,
		}},
		{`{"source": "cloudwatch", "namespace": "N", "metric": "M", "stat": "Sum", "period": "1m", "staleAfter": "2d", "window": "7d", "reduce": "rows", "tests": ["ks"], "key": "id"}`, []string{
			`staleAfter: at most 1440 periods`,
			`reduce: reduce is for a signal over data (source: data)`,
			`window: window is for a signal over data (source: data)`,
			`tests: tests is for a signal that is drift (window: {objects: 3})`,
			`key: key is for a signal over predictions (source: predictions)`,
		}},
		{`{"source": "data", "reduce": "rows", "namespace": "N", "stat": "Sum"}`, []string{
			`namespace: namespace is for a signal of CloudWatch (source: cloudwatch)`,
			`stat: stat is for a signal of CloudWatch (source: cloudwatch)`,
		}},
	} {
		text := `{"apiVersion": "anneal/v1alpha1", "kind": "RetrainPolicy", "metadata": {"name": "p"}, "spec": {"model": {"group": "g"},
			"signals": {"s": ` + c.signal + `}, "rules": [{"id": "r", "if": "signals.s.n > 3"}]}}`
		spec, err := ParseSpec([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", c.signal, err)
		}
		p, problems := Compile(spec)
		var got []string
		for _, problem := range problems {
			got = append(got, strings.TrimPrefix(problem.String(), "spec.signals.s."))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.signal, diff)
			continue
		}
		if p == nil {
			continue
		}
		// What was compiled says the same again after it went through JSON.
		data, err := p.Spec.JSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSpec(data)
		if err != nil {
			t.Fatal(err)
		}
		if q, problems := Compile(again); len(problems) > 0 || q.Revision != p.Revision {
			t.Errorf("%s: compiled again it is another policy: %v", c.signal, problems)
		}
	}
}

// TestWindowForms reads both spellings of a window.
func TestWindowForms(t *testing.T) {
	for text, want := range map[string]Window{`{"objects": 3}`: {Objects: 3}, `"7d"`: {Since: Duration(week)}, `{"since": "7d"}`: {Since: Duration(week)}} {
		var got Window
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	if err := new(Window).UnmarshalText([]byte("soon")); err == nil {
		t.Error(`"soon" is taken for a window`)
	}
}

// TestExplainDue tells why a retraining is due, or is not.
func TestExplainDue(t *testing.T) {
	spec, err := ParseSpec([]byte(`{"apiVersion": "anneal/v1alpha1", "kind": "RetrainPolicy", "metadata": {"name": "p"}, "spec": {"mode": "enforce", "model": {"group": "m"},
		"signals": {"drift": {"source": "data", "window": {"objects": 1}}}, "triggers": [{"id": "new", "event": {"type": "Object Created"}}],
		"rules": [{"id": "due", "if": "signals.drift.due"}], "run": {"stateMachine": {"file": "m.json"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	p, problems := Compile(spec)
	if problems != nil {
		t.Fatal(problems)
	}
	value, due := 0.2, false
	d := Decide(p, &State{}, Cause{Event: anneal.Event{ID: "e"}, Signals: map[string]anneal.Signal{
		"drift": {Status: anneal.SignalOK, Value: &value, Share: &value, Verdict: "none", Due: &due, Why: "10 rows are new to a model of 1000"},
	}})
	if got, want := Explain(d, p, time.Time{}), "false    signals.drift.due: 10 rows are new to a model of 1000\n"; !strings.Contains(got, want) {
		t.Errorf("%s\nwant %q in it", got, want)
	}
}
