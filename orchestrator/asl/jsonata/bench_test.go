package jsonata

import (
	"testing"

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

func mustParse(t testing.TB, expr string) *Expr {
	t.Helper()
	x, err := Parse(expr)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return x
}
