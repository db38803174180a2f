package jsonata

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// noon is what time it is in tests.
var noon = time.Date(2026, 8, 18, 12, 0, 0, 0, time.UTC)

// outcome is what an expression comes to: JSON, "undefined" or an error.
func outcome(x *Expr, err error, input string) string {
	if err != nil {
		return err.Error()
	}
	a := Args{Now: noon, Rand: rand.New(rand.NewPCG(1, 2))}
	if input != "" {
		v, err := value.ParseString(input)
		if err != nil {
			return err.Error()
		}
		a.Input = &v
	}
	v, ok, err := x.Eval(a)
	switch {
	case err != nil:
		return err.Error()
	case !ok:
		return "undefined"
	}
	return v.String()
}

const shop = `{"orders":[
 {"id":"o1","lines":[{"sku":"a","price":2,"qty":3},{"sku":"b","price":10,"qty":1}]},
 {"id":"o2","lines":[{"sku":"a","price":3,"qty":1}]}],
 "one":[7],"none":[],"deep":[[1,[2]],[3]],"n":1.50,"big":12345678901234567890}`

// What the reference does is said by its suite; these are the same rules, told
// feature by feature, and what is ours.
func TestFeatures(t *testing.T) {
	for _, tt := range []struct{ feature, expr, want string }{
		{"a sequence of one is its item", `orders[id="o2"].lines.sku`, `"a"`},
		{"unless it is asked to stay", `orders[id="o2"].lines.sku[]`, `["a"]`},
		{"an array of the input stays one", `one`, `[7]`},
		{"an empty sequence is undefined", `orders[id="o9"]`, `undefined`},
		{"an empty array is not", `none`, `[]`},
		{"steps flatten one level", `deep.$`, `[1,[2],3]`},
		{"constructed arrays are kept apart", `orders.[lines.qty]`, `[[3,1],[1]]`},
		{"from the end", `orders[-1].id`, `"o2"`},
		{"several positions", `orders.lines[[0,1]].sku`, `["a","b","a"]`},
		{"a predicate over all", `(orders.lines)[0].sku`, `"a"`},
		{"wildcard", `orders[0].lines[0].*`, `["a",2,3]`},
		{"descendants", `$count(**)`, `23`},
		{"parent", `orders.lines[qty=1].{"sku":sku,"order":%.id}`, `[{"sku":"b","order":"o1"},{"sku":"a","order":"o2"}]`},
		{"focus", `orders@$o.$o.lines@$l[$l.qty>1].{"o":$o.id,"s":$l.sku}`, `{"o":"o1","s":"a"}`},
		{"index", `orders.lines#$i[$i>0].sku`, `"b"`},
		{"group", `orders.lines{sku: $sum(price*qty)}`, `T2001: The left side of the "*" operator must evaluate to a number`},
		{"group, item by item", `orders.lines{sku: $sum($.(price*qty))}`, `{"a":9,"b":10}`},
		{"sort", `orders.lines^(>qty, sku).(sku & qty)`, `["a3","a1","b1"]`},
		{"transform changes a copy", `orders[0] ~> |lines|{"price":0},"qty"| ~> $lookup("lines")`, `[{"sku":"a","price":0},{"sku":"b","price":0}]`},
		{"and leaves the original", `($c := $ ~> |orders|{"id":"x"}|; orders.id)`, `["o1","o2"]`},
		{"a transform that would hold itself", `$ ~> |orders[0]|{"self":$}|`, `U1001: ` + tooDeep},
		{"blocks have their own variables", `($a := 1; ($a := 2); $a)`, `1`},
		{"closures", `($add := function($x){function($y){$x+$y}}; $add(2)(3))`, `5`},
		{"recursion", `($f := function($n){$n < 2 ? 1 : $n * $f($n-1)}; $f(20))`, `2432902008176640000`},
		{"tail calls do not nest", `($f := function($n, $s){$n = 0 ? $s : $f($n-1, $s+$n)}; $f(50000, 0))`, `1250025000`},
		{"partial application", `($second := $substring(?, 1, 1); ["abc","xyz"].$second($))`, `["b","y"]`},
		{"chaining", `($f := $uppercase ~> $length; $f("abc"))`, `3`},
		{"signatures wrap", `function($a)<a<n>:n>{$count($a)}(5)`, `1`},
		{"and refuse", `function($a)<n:n>{$a}("5")`, `T0410: Argument 1 of function undefined does not match function signature`},
		{"and take the context", `("abc").$length()`, `3`},
		{"a function without its dollar", `sum(orders)`, `T1005: Attempted to invoke a non-function. Did you mean $sum?`},
		{"numbers that pass keep their text", `[n, big, {"n": n}]`, `[1.50,12345678901234567890,{"n":1.50}]`},
		{"numbers that are made are written as JavaScript does", `[0.1+0.2, 1e21*1, 1/3, 1e-7*1, 100*1, -0*1]`, `[0.30000000000000004,1e+21,0.3333333333333333,1e-7,100,0]`},
		{"$string rounds to 15 digits", `$string(0.1+0.2)`, `"0.3"`},
		{"what JSON cannot hold", `{"a": 1/0}`, `D1001: Number out of range: null`},
		{"members keep their order", `{"b":1,"a":2,"1":3}`, `{"b":1,"a":2,"1":3}`},
		{"surrogates", `['\ud83d\ude00', $length('\ud83d\ude00'), $length('\ud800'), '\ud800']`, `["😀",1,1,"\ud800"]`},
		{"their halves join", `'\ud83d' & '\ude00'`, `"😀"`},
		{"and they have no case", `$uppercase('a\ud800b') & $lowercase('\udc00É')`, `"A\ud800B\udc00é"`},
		{"strings are ordered by UTF-16", `"\uffff" > "😀"`, `true`},
		{"positions are those of UTF-16", `$match("😀a", /a/).index`, `2`},
		{"case", `$uppercase("straße") & $lowercase("ΑΣ")`, `"STRASSEας"`},
		{"now is an input", `$now() & " " & $millis()`, `"2026-08-18T12:00:00.000Z 1787054400000"`},
		{"dates", `$fromMillis(0, "[FNn,3-3] [D1o] [MNn] [Y], week [W] [h]:[m01][PN] [z]", "+0530")`, `"Thu 1st January 1970, week 1 5:30AM GMT+05:30"`},
		{"dates read", `$toMillis("21 September 2018", "[D] [MNn] [Y]")`, `1537488000000`},
		{"numbers written", `$formatNumber(-1234567.891, "#,##0.00;(#,##0.00)")`, `"(1,234,567.89)"`},
		{"words", `$formatInteger(1234, "Ww;o") & $parseInteger("twelve hundred and five", "w")`, `"One Thousand, Two Hundred and Thirty-Fourth1205"`},
		{"ranges cost nothing until looked at", `$count([1..10000000])`, `10000000`},
		{"but have an end", `[1..10000001]`, `D2014: The size of the sequence allocated by the range operator (..) must not exceed 1e6.  Attempted to allocate 10000001.`},
		{"$eval", `$eval("[1,2,x]", {"x":3})`, `[1,2,3]`},
		{"$eval of what is none", `$eval("1+")`, `D3120: Syntax error in expression passed to function eval: "Unexpected end of expression"`},
		{"$error", `$error("no ☃")`, `D3137: no ☃`},
		{"undefined in an array", `[1, nothing, 2]`, `[1,2]`},
		{"a function is no JSON", `{"f": $sum, "l": [function(){1}]}`, `{"l":[null]}`},
	} {
		x, err := Parse(tt.expr)
		if got := outcome(x, err, shop); got != tt.want {
			t.Errorf("%s: %s\n got %s\nwant %s", tt.feature, tt.expr, got, tt.want)
		}
	}
}

// TestBesideReference has the ways in which version 2.0.6 was seen to do otherwise
// than one would think, when it and this package were asked the same random
// expressions.
func TestBesideReference(t *testing.T) {
	for _, tt := range []struct{ rule, expr, want string }{
		{"a pattern makes a string of what it is called with", `$filter([12, 31], /^1/)`, `12`},
		{"of undefined, too", `/[^a-c]/(nothing).match`, `"u"`},
		{"and of lists and objects", `{"l": /3/([1,[2,3]]).start, "o": /o/({"a":1}).start}`, `{"l":4,"o":1}`},
		{"where it goes on is an index", `$map(["a","b"], /b/)`, `undefined`},
		{"the next match is looked for before the limit", `$split("x", /a*/, 1)`, `D1004: Regular expression matches zero length string`},
		{"in all that take a limit", `[$match("x", /a*/, 0), $replace("xa", /a/, "b", 1)]`, `["xb"]`},
		{"a group is made of nothing", `nothing.at.all{"k": 1}`, `{"k":1}`},
		{"whatever the steps before do", `$nothing.$uppercase(1){"k": 1}`, `{"k":1}`},
		{"sorting one makes it an item", `one^($)`, `7`},
		{"even if it was to stay a list", `($a := n[]; $a^($))`, `1.50`},
		{"and sorting none makes it undefined", `none^($)`, `undefined`},
		{"two groups of one row share it, and the first takes it", `one#$i{"a": $i, "b": $}`, `{"a":0}`},
		{"half of a digit is rounded up", `$string(12345678901234.25) & " " & $string(-12345678901234.75)`, `"12345678901234.3 -12345678901234.8"`},
		{"digits beside separators", `[$formatInteger(7, "#,##0-00"), $formatInteger(100, "#.##0,0")]`, `[",-07",".,0"]`},
		{"letters of large integers", `$formatInteger(1e20, "A")`, `"ANGWJIRSMASVAGW"`},
		{"an integer may be hexadecimal", `[$parseInteger("0x1F", "0"), $parseInteger("-0xag", "0")]`, `[31,-10]`},
		{"the last of two months counts", `$toMillis("December 2018 DECEMBER", "[MNn] [Y] [MN]")`, `1514764800000`},
		{"an hour of an offset has sixty minutes", `$toMillis("2018-02-03T10:00:00+0160")`, `D3110: The argument of the toMillis function must be an ISO 8601 formatted timestamp. Given "2018-02-03T10:00:00+0160"`},
		{"a time is cut to milliseconds where it is shown", `$fromMillis(1.5, nothing, "-0500")`, `"1969-12-31T19:00:00.002-05:00"`},
		{"a chain names its functions", `null ~> ($uppercase ~> $length)`, `T0410: Argument 1 of function "f" does not match function signature`},
		{"nothing is sifted without a function", `$sift({})`, `undefined`},
		{"powers are exact", `[$power(1.5, 255), $power(100, -2), $power(0.5, 0.5)]`, `[8.003336168745607e+44,0.0001,0.7071067811865476]`},
	} {
		x, err := Parse(tt.expr)
		if got := outcome(x, err, shop); got != tt.want {
			t.Errorf("%s: %s\n got %s\nwant %s", tt.rule, tt.expr, got, tt.want)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{``, "S0207: Unexpected end of expression"},
		{`"abc`, "S0101: String literal must be terminated by a matching quote"},
		{`"\x"`, `S0103: Unsupported escape sequence: \"x"`},
		{`1 2`, `S0201: Syntax error: 2`},
		{`(1`, `S0203: Expected ")" before end of expression`},
		{`[1,]`, `S0211: The symbol "]" cannot be used as a unary operator`},
		{`a ! b`, `S0204: Unknown operator: "!"`},
		{`1 := 2`, `S0212: The left side of := must be a variable name (start with $)`},
		{`%`, `S0217: The object representing the 'parent' cannot be derived from this expression`},
		{`a.1`, `S0213: The literal value 1 cannot be used as a step within a path expression`},
		{`/a(/`, `S0302: No terminating / in regular expression`},
		{`/a**/`, `S0303: Invalid regular expression: /a**/: nothing to repeat`},
		{`1e999`, `S0102: Number out of range: "1e999"`},
		{strings.Repeat("(", 100_000), `U1001: ` + tooDeep},
		{strings.Repeat("1+", 100_000) + "1", `U1001: ` + tooDeep},
		{strings.Repeat("a[", 100_000), `U1001: ` + tooDeep},
	} {
		if _, err := Parse(tt.expr); err == nil || err.Error() != tt.want {
			t.Errorf("%.40s\n got %v\nwant %s", tt.expr, err, tt.want)
		}
	}
	_, err := Parse("\"😀\" + ]")
	if e, ok := err.(*Error); !ok || e.Position != 8 || e.Token != "]" {
		t.Errorf("got %#v, want the position 8 of ]", err)
	}
}

// TestHostile has expressions that would take for ever, or all memory.
func TestHostile(t *testing.T) {
	for _, expr := range []string{
		`($f := function(){$f()}; $f())`,
		`($f := function($n){1 + $f($n)}; $f(1))`,
		`($f := function($n){$n & $f($n & $n)}; $f("x"))`,
		`$reduce([1..100], function($s, $i){$s & $s}, "xxxxxxxx")`,
		`($f := function($s, $i){$i = 0 ? $s : $f([$s, $s], $i - 1)}; $f(1, 60))`,
		`$string(($f := function($s, $i){$i = 0 ? $s : $f({"a": $s, "b": $s}, $i - 1)}; $f(1, 60)))`,
		`($f := function($s, $i){$i = 0 ? $s : $f([$s, $s], $i - 1)}; $f(1, 60) = $f(1, 60))`,
		`($f := function($s, $i){$i = 0 ? $s : $f([$s, $s], $i - 1)}; $f(1, 60).**)`,
		`[1..10000000].[1..10000000]`,
		`$sort([1..3000000], function($a, $b){$a < $b})`,
		`$pad("", 1e15)`,
		`$match("` + strings.Repeat("a", 40) + `!", /^(a+)+$/)`,
		`$contains($pad("", 100000, "ab"), /(?:(a)|b|c)*d/)`,
		`$map([1..10000000], $string)`,
		`$join([1..10000000].$string())`,
		`$distinct([1..10000000].[$])`,
		`$formatInteger(1e300, "i")`,
		`[1..5000].$pad("x", 100000)`,
		`$eval("$eval(\"" & $pad("", 100000, "1+") & "1\")")`,
		`($f := function($x){$eval("$f(1)")}; $f(1))`,
		`($l := $append([1..100000], "a"); [1..100000][$l])`,
		`($s := $pad("", 1000000, "x"); $sort([1..100000].($s & $)))`,
		`$reduce([1..10000000], ` + "function($a, $b)<" + strings.Repeat("x?", 60) + "n>" + `{$a})`,
		`(` + strings.Repeat("$a := 1; ", 1) + `$count([1..3000000].($pad("", 50, "x") ~> $contains(/[` + strings.Repeat(`\W\s`, 300) + `]+(?:x|` + strings.Repeat("[^a]|", 300) + `y)z/))))`,
	} {
		before := used(t)
		x, err := Parse(expr)
		if err == nil {
			_, _, err = x.Eval(Args{Steps: 500_000})
		}
		if e, ok := err.(*Error); !ok || e.Code != "U1001" && e.Code != "D1001" && e.Code != "D3120" {
			t.Errorf("%.80s: error %v, want the budget's", expr, err)
		}
		if d := used(t) - before; d > time.Minute {
			t.Errorf("%.80s took %v of the processor", expr, d)
		}
	}
}

// used is how long this process has had a processor, which does not grow with what
// else the machine has to do.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestBudgetIsTold(t *testing.T) {
	spent := 0
	x := mustParse(t, `[1..1000].($ * 2)`)
	if _, _, err := x.Eval(Args{Spent: &spent}); err != nil || spent < 1000 || spent > 20_000 {
		t.Errorf("%d steps (%v), want some thousands", spent, err)
	}
	if _, _, err := x.Eval(Args{Steps: spent / 2}); err == nil || err.Error() != "U1001: "+tooLong {
		t.Errorf("half of the steps: %v", err)
	}
	if _, _, err := x.Eval(Args{Depth: 2}); err == nil || err.Error() != "U1001: "+tooDeep {
		t.Errorf("a depth of two: %v", err)
	}
}

func TestStates(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{`$partition([1,2,3,4,5], 2)`, `[[1,2],[3,4],[5]]`},
		{`$partition([1], 10)`, `[[1]]`},
		{`$partition([1], 0)`, `T0410: Argument 2 of function "partition" must be an integer of at least 1`},
		{`$range(0, 10, 3)`, `[0,3,6,9]`},
		{`$range(1, -1, -1)`, `[1,0,-1]`},
		{`$range(0, 1, 0)`, `T0410: Argument 3 of function "range" must not be 0`},
		{`$count($range(1, 360145, 1))`, `360145`},
		{`$range(1, 360146, 1)`, `U1001: ` + tooBig},
		{`[1..873782] ~> $count()`, `873782`},
		{`[1..873783] ~> $count()`, `U1001: ` + tooBig},
		{`($p := function($s, $n) {$n = 0 ? $s : $p($s & $s, $n - 1)}; $length($p("x", 22)))`, `4194304`},
		{`($p := function($s, $n) {$n = 0 ? $s : $p($s & $s, $n - 1)}; $length($p("x", 23)))`, `U1001: ` + tooBig},
		{`1` + strings.Repeat("+1", 99), `100`},
		{`1` + strings.Repeat("+1", 100), `U1001: ` + tooDeep},
		{`($f := function($n){$n = 0 ? 0 : 1 + $f($n - 1)}; $f(30))`, `30`},
		{`($f := function($n){$n = 0 ? 0 : 1 + $f($n - 1)}; $f(40))`, `U1001: ` + tooDeep},
		{`($f := function($n){$n = 0 ? "done" : $f($n - 1)}; $f(1000))`, `"done"`},
		{`{"k": 1/0, "l": [-1/0], "m": $parseInteger("x", "0")}`, `{"k":"Infinity","l":["-Infinity"],"m":"NaN"}`},
		{`$formatNumber(1, "x")`, `D3086: ` + messages["D3086"]},
		{`$formatNumber(1, "")`, `D3085: ` + messages["D3085"]},
		{`$random(42)`, `0.7275636800328681`},
		{`$hash("abc", "SHA-1")`, `"a9993e364706816aba3e25717850c26c9cd0d89d"`},
		{`$hash("abc", "MD5")`, `"900150983cd24fb0d6963f7d28e17f72"`},
		{`$hash("abc", "SHA1")`, `T0410: Argument 2 of function "hash" must be MD5, SHA-1, SHA-256, SHA-384 or SHA-512, not "SHA1"`},
		{`$random(7) = $random(7)`, `true`},
		{`$random() = $random()`, `false`},
		{`$contains($uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)`, `true`},
		{`$parse('{"b":[1.0],"a":null}')`, `{"b":[1.0],"a":null}`},
		{`$parse('-0')`, `0`},
		{`$parse('{')`, `D3137: The argument of function "parse" is not valid JSON at byte 1: want a key in double quotes, have end of text`},
		{`$eval("1")`, `T1006: Attempted to invoke a non-function`},
		{`$sum([1,2])`, `3`},
	} {
		x, err := ParseStates(tt.expr)
		if got := outcome(x, err, ""); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.expr, got, tt.want)
		}
	}
	if x, err := Parse(`$uuid()`); err != nil || outcome(x, nil, "") != "T1006: Attempted to invoke a non-function" {
		t.Errorf("$uuid is none of JSONata's own")
	}
}

func TestReferences(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{`$states.input.items[0].id + $limit`, `$states.input.items… $limit`},
		{`$states.context.Execution.Id`, `$states.context.Execution.Id`},
		{`$map($xs, function($x){$x.a & $y.b})`, `$xs $y.b`},
		{`($t := $states.result; $t.a)`, `$states.result`},
		{`a.b[c = $d].$e`, `a.b… $d $e…`},
		{`$states`, `$states`},
		{`$states.*`, `$states…`},
		{`$merge([$states.input, {"k": $v.w}])`, `$states.input $v.w`},
		{`$.a & $$.b.c`, `.a .b.c`},
		{`$randomSeeded(1)`, `$randomSeeded`},
		{`x@$f.y#$i.($f & $i & $z)`, `x.y… $z`},
	} {
		x, err := ParseStates(tt.expr)
		if err != nil {
			t.Errorf("%s: %v", tt.expr, err)
			continue
		}
		var got []string
		for _, r := range x.References() {
			s := strings.Join(r.Path, ".")
			if r.Variable != "" {
				s = strings.TrimSuffix("$"+r.Variable+"."+s, ".")
			} else if tt.expr[0] == '$' {
				s = "." + s
			}
			if !r.Exact {
				s += "…"
			}
			got = append(got, s)
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.expr, diff)
		}
	}
}

func TestRegex(t *testing.T) {
	for _, tt := range []struct{ pattern, flags, in, want string }{
		{`a(b)?c`, "", "xacabc", "1-3 [-]"},
		{`(a|ab)(c|bcd)(d*)`, "", "abcd", "0-4 [0-1 1-4 4-4]"},
		{`(z)((a+)?(b+)?(c))*`, "", "zaacbbbcac", "0-10 [0-1 8-10 8-9 - 9-10]"}, // from the standard
		{`(?=(a+))a*b\1`, "", "baaabac", "3-6 [3-4]"},                           // and this
		{`(.*?)a(?!(a+)b\2c)\2(.*)`, "", "baaabaac", "0-8 [0-2 - 3-8]"},         // and this
		{`(?<=\$)\d+(\.\d*)?`, "", "cost $10.50", "6-11 [8-11]"},
		{`(?<!a)b`, "", "abcb", "3-4 []"},
		{`(?<y>\d{4})-\k<y>`, "", "2019-2020-2020", "5-14 [5-9]"},
		{`^b$`, "m", "a\nb\r\nc", "2-3 []"},
		{`^B`, "i", "b", "0-1 []"},
		{`[^\W\d]+`, "", "12ab_", "2-5 []"},
		{`\u0041\x42\cJ`, "", "AB\n", "0-3 []"},
		{`a{2,3}?`, "", "aaaa", "0-2 []"},
		{`a{,3}`, "", "a{,3}", "0-5 []"},
		{`[]|[^]`, "", "x", "0-1 []"},
		{`\bfoo\B`, "", "foo food", "4-7 []"},
		{`.`, "", "😀", "0-1 []"},
		{`x*`, "", "yxx", "0-0 []"},
		{`(?:a*)*b`, "", strings.Repeat("a", 10), "none"},
	} {
		re, err := compileRegex(tt.pattern, tt.flags)
		if err != nil {
			t.Errorf("/%s/: %v", tt.pattern, err)
			continue
		}
		got := "none"
		loc, err := re.find(&evaluation{steps: DefaultSteps}, units16(tt.in), 0)
		if err != nil {
			got = err.Error()
		} else if loc != nil {
			span := func(i int) string {
				if loc[i] < 0 {
					return "-"
				}
				return value.FormatFloat(float64(loc[i])) + "-" + value.FormatFloat(float64(loc[i+1]))
			}
			var groups []string
			for i := 2; i < len(loc); i += 2 {
				groups = append(groups, span(i))
			}
			got = span(0) + " [" + strings.Join(groups, " ") + "]"
		}
		if got != tt.want {
			t.Errorf("/%s/%s in %q: %s, want %s", tt.pattern, tt.flags, tt.in, got, tt.want)
		}
	}
	for _, bad := range []string{`(`, `a)`, `[a`, `*`, `a{2,1}`, `\`, `(?<a>x)(?<a>y)`, `(?<a>x)\k<b>`, `[b-a]`, `(?x)`, strings.Repeat("(", 1000)} {
		if _, err := compileRegex(bad, ""); err == nil {
			t.Errorf("/%.20s/ is taken", bad)
		}
	}
}

// FuzzEval looks for panics, for evaluations that do not end, and for results
// that depend on more than the arguments.
func FuzzEval(f *testing.F) {
	for _, s := range []string{
		`orders.lines{sku: $sum($.(price*qty))}`, `$match("ab", /(a)|b+?/i)`, `orders@$o.lines#$i^(>qty)[$i=0].%.id`,
		`$ ~> |orders|{"x":1},["id"]|`, `function($a)<a<n>n?:s>{$a}(1)`, `$fromMillis(0,"[YNn,2-3][[ [Z0101t]")`,
		`$formatNumber(1.5,"#,##0.0#e0;(0%)")`, `$formatInteger(12,"w;o")`, `($f:=$substring(?,1);$f("😀"))`, `'\ud800' & /[^\d-x]/("9").next()`,
		`$eval("1+" & 1)`, `**[$type($)="number"]`, `$parse("[1]") ~> $partition(1)`,
	} {
		f.Add(s, shop)
	}
	f.Fuzz(func(t *testing.T, expr, input string) {
		var in *value.Value
		if v, err := value.ParseString(input); err == nil {
			in = &v
		}
		for _, read := range []func(string) (*Expr, error){Parse, ParseStates} {
			x, err := read(expr)
			if err != nil {
				if e, ok := err.(*Error); !ok || e.Code == "" || e.Message == "" {
					t.Fatalf("%q: error %#v", expr, err)
				}
				continue
			}
			x.References()
			results := [2]string{}
			for i := range results {
				before := ""
				if in != nil {
					before = in.String()
				}
				v, ok, err := x.Eval(Args{Input: in, Now: noon, Rand: rand.New(rand.NewPCG(1, 2)), Steps: 100_000})
				if e, is := err.(*Error); err != nil && err != ErrFunction && (!is || e.Code == "") {
					t.Fatalf("%q: error %#v", expr, err)
				}
				if in != nil && in.String() != before {
					t.Fatalf("%q changes its input", expr)
				}
				if results[i] = "undefined"; ok {
					results[i] = v.String()
				}
				if err != nil {
					results[i] = err.Error()
				}
			}
			if results[0] != results[1] {
				t.Fatalf("%q gives %s and then %s", expr, results[0], results[1])
			}
		}
	})
}
