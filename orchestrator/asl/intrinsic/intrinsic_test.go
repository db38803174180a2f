package intrinsic

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

func args(t testing.TB) Args {
	t.Helper()
	input, err := value.ParseString(`{"s": "a,b;;c", "n": 2.5, "list": [1, 1.0, "1", {"a": 1, "b": 2}, {"b": 2, "a": 1}], "o": {"a": 1, "b": 2}, "p": {"b": 3, "c": 4}, "null": null, "t": "{}-{}"}`)
	if err != nil {
		t.Fatal(err)
	}
	variable := func(name string) (value.Value, bool) {
		return value.OfObject(value.Member{Key: "k", Value: value.OfInt(7)}), name == "v"
	}
	return Args{Variable: variable, Input: input, Context: value.OfObject(value.Member{Key: "Name", Value: value.OfString("ctx")}), Rand: rand.New(rand.NewPCG(1, 2))}
}

func TestEval(t *testing.T) {
	for _, tt := range []struct{ call, want string }{
		{`States.Format('{} of {}: {}', $.n, $.o, $$.Name)`, `"2.5 of {a=1, b=2}: ctx"`},
		{`States.Format($.t, 1, null)`, `"1-null"`},
		{`States.Format('it\'s \{\} \\ {}', true)`, `"it's {} \\ true"`},
		{`States.Format('none')`, `"none"`},
		{`States.Format('{}', States.StringToJson('{"a": [1.5, "x", null, true, {}], "b": {"c": []}}'))`, `"{a=[1.5, x, null, true, {}], b={c=[]}}"`},
		{`States.Format('{}', States.Format('{}', States.ArrayLength($.list)))`, `"5"`},
		{`States.Format('{} {}', $v.k, $v)`, `"7 {k=7}"`},
		{`States.Format('{}', $w)`, `!The variable '$w' has no value`},
		{`States.Array()`, `[]`},
		{`States.Array( $.n , 'x' , States.Array( 1 ) )`, `[2.5,"x",[1]]`},
		{`States.ArrayPartition($.list, 2)`, `[[1,1.0],["1",{"a":1,"b":2}],[{"b":2,"a":1}]]`},
		{`States.ArrayContains($.list, $.o)`, `true`},
		{`States.ArrayContains($.list, 2)`, `false`},
		{`States.ArrayUnique($.list)`, `[1,"1",{"a":1,"b":2}]`},
		{`States.ArrayRange(1, -5, -2)`, `[1,-1,-3,-5]`},
		{`States.ArrayGetItem($.list, 2)`, `"1"`},
		{`States.StringSplit($.s, ',;')`, `["a","b","c"]`},
		{`States.MathAdd($.n, -1)`, `2`},
		{`States.JsonMerge($.o, $.p, false)`, `{"a":1,"b":3,"c":4}`},
		{`States.StringToJson('[1.0]')`, `[1.0]`},
		{`States.JsonToString($.p)`, `"{\"b\":3,\"c\":4}"`},
		{`States.Base64Decode(States.Base64Encode('grün'))`, `"grün"`},
		{`States.Hash('x', 'MD5')`, `"9dd4e461268c8034f5c8564e155c67a6"`},
		{`States.ArrayLength($.none[*])`, `0`},

		{`States.Format('{}', $.none)`, `!The JsonPath argument for the field '$.none' could not be found in the input '{"s"`},
		{`States.Format('{}')`, `!Invalid arguments in States.Format: number of arguments do not match the occurrences of {}`},
		{`States.ArrayPartition($.list, 0)`, `!Invalid arguments in States.ArrayPartition: the chunk size must be positive`},
		{`States.ArrayRange(0, 5000, 1)`, `!Invalid arguments in States.ArrayRange: the range has more than 1000 items`},
		{`States.ArrayRange(0, 5, 0)`, `!Invalid arguments in States.ArrayRange: the step must not be zero`},
		{`States.ArrayGetItem($.list, 5)`, `!Invalid arguments in States.ArrayGetItem: index 5 is outside of the array of 5 items`},
		{`States.ArrayLength($.o)`, `!Invalid arguments in States.ArrayLength: the argument must be an array, not object`},
		{`States.MathAdd(2147483647, 1)`, `!Invalid arguments in States.MathAdd: the sum is out of range`},
		{`States.MathAdd($.s, 1)`, `!Invalid arguments in States.MathAdd: the first argument must be a number, not string`},
		{`States.MathRandom(5, 5)`, `!Invalid arguments in States.MathRandom: the start must be less than the end`},
		{`States.JsonMerge($.o, $.p, true)`, `!Invalid arguments in States.JsonMerge: the third argument must be false`},
		{`States.StringToJson('{')`, `!Invalid arguments in States.StringToJson: not valid JSON`},
		{`States.Base64Decode('*')`, `!Invalid arguments in States.Base64Decode: the data is not Base64`},
		{`States.Hash('x', 'MD4')`, `!Invalid arguments in States.Hash: unknown algorithm "MD4"`},
	} {
		e, err := Parse(tt.call)
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := e.Eval(args(t))
		if want, failing := strings.CutPrefix(tt.want, "!"); failing {
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: error %v, want %s", tt.call, err, want)
			}
		} else if err != nil || got.String() != tt.want {
			t.Errorf("%s: got %v (%v), want %s", tt.call, got, err, tt.want)
		}
	}
}

func TestRandom(t *testing.T) {
	eval := func(call string, a Args) string {
		e, err := Parse(call)
		if err != nil {
			t.Fatal(err)
		}
		v, err := e.Eval(a)
		if err != nil {
			t.Fatal(err)
		}
		return v.String()
	}
	a := args(t)
	if u, v := eval(`States.UUID()`, a), eval(`States.UUID()`, a); u == v || !regexp.MustCompile(`^"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"$`).MatchString(u) {
		t.Errorf("UUIDs %s and %s", u, v)
	}
	if u, v := eval(`States.UUID()`, args(t)), eval(`States.UUID()`, args(t)); u != v {
		t.Errorf("equal seeds give %s and %s", u, v)
	}
	if x, y := eval(`States.MathRandom(0, 1000000, 7)`, a), eval(`States.MathRandom(0, 1000000, 7)`, a); x != y {
		t.Errorf("the seed 7 gives %s and %s", x, y)
	}
	for range 100 {
		if x := eval(`States.MathRandom(3, 5)`, a); x != "3" && x != "4" {
			t.Fatalf("MathRandom(3, 5) gives %s", x)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct{ call, want string }{
		{`States.Fromat('{}', $.x)`, `unknown function "States.Fromat" (have States.Array, `},
		{`States.UUID`, `want ( after States.UUID`},
		{`States.UUID() x`, `unexpected "x" after the call`},
		{`States.UUID(1)`, `States.UUID takes 0 arguments, not 1`},
		{`States.MathRandom(1)`, `States.MathRandom takes 2 to 3 arguments, not 1`},
		{`States.Format()`, `States.Format takes at least 1 arguments, not 0`},
		{`States.Array(1 2)`, `want , or ) at`},
		{`States.Array(x)`, `"x" at 13 is not an argument`},
		{`States.Array("x")`, `is not an argument`},
		{`States.Array('x`, `the ' at 13 is not closed`},
		{`States.Array($.a`, `want , or ) at 16`},
		{`States.Array(1,`, `the call has no )`},
		{`States.StringToJson('{\"a\": 1}')`, `a backslash at 22 must come before`},
		{strings.Repeat(`States.Array(`, 11) + strings.Repeat(`)`, 11), `calls are nested deeper than 10`},
	} {
		if _, err := Parse(tt.call); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%s): error %v, want %s", tt.call, err, tt.want)
		}
	}
}

func FuzzCall(f *testing.F) {
	for _, s := range []string{`States.Format('{}\'', $.a)`, `States.Array(1, null, States.UUID())`, `States.ArrayRange($.n, 9, 1)`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := Parse(s)
		if err != nil {
			return
		}
		v, err := e.Eval(args(t))
		if _, ok := err.(*Error); err != nil && !ok {
			t.Fatalf("%s: %T", s, err)
		}
		if v.Size() > 64<<20 {
			t.Fatalf("%s makes %d bytes", s, v.Size())
		}
	})
}
