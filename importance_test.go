package anneal_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal"
)

func TestParseImportance(t *testing.T) {
	many := "{" + strings.Repeat(`"a%d":1,`, 10_000) + `"b":1}`
	numbers := make([]any, 10_000)
	for i := range numbers {
		numbers[i] = i
	}
	for _, test := range []struct{ given, want, err string }{
		{given: `{"price": 0.6, "hour": 3, "day": 0}`, want: "map[day:0 hour:3 price:0.6]"},
		{given: "\ufeff {\"price\": 1e308, \"hour\": 5e-324}\n", want: "map[hour:5e-324 price:1e+308]"},
		{given: `[{"feature": "price", "importance": 0.6}, {"column": "hour", "importance": 0, "rank": 2}]`, want: "map[hour:0 price:0.6]"},
		{given: `[{"Feature": "price", "Importance": 1}]`, want: "map[price:1]"},
		{given: ` null `, want: "map[]"},
		{given: ``, err: "not JSON"},
		{given: `{"price": NaN}`, err: "not JSON"},
		{given: `{"price": 1} {}`, err: "not JSON"},
		{given: `"price"`, err: `"price" is no object of columns and numbers, such as {"price": 0.6, "hour": 0.4}`},
		{given: `0.5`, err: `0.5 is no object of columns and numbers, such as {"price": 0.6, "hour": 0.4}`},
		{given: `{}`, err: "no column has any: at least one is above 0"},
		{given: `[]`, err: "no column has any: at least one is above 0"},
		{given: `{"price": 0, "hour": -0}`, err: "no column has any: at least one is above 0"},
		{given: `{"price": -0.2}`, err: `column "price" has -0.2: want a number from 0 on, such as the size of a coefficient`},
		{given: `{"price": "x", "hour": -1, "age": -2}`, err: `column "age" has -2`},
		{given: `{"price": null}`, err: `column "price" has null: want a number from 0 on, such as the size of a coefficient`},
		{given: `{"price": "0.6"}`, err: `column "price" has "0.6": want a number from 0 on, such as the size of a coefficient`},
		{given: `{"price": 1e999}`, err: `column "price" has 1e999: want a number from 0 on, such as the size of a coefficient`},
		{given: `{"price": {"gain": 1}}`, err: `column "price" has {"gain": 1}: want a number from 0 on, such as the size of a coefficient`},
		{given: `[{"feature": "price"}]`, err: `column "price" has nothing: want a number from 0 on, such as the size of a coefficient`},
		{given: `[{"importance": 1}]`, err: `item 0 of the list: want {"feature": NAME, "importance": NUMBER}`},
		{given: `[{"feature": "a", "column": "b", "importance": 1}]`, err: `item 0 of the list: want {"feature": NAME, "importance": NUMBER}`},
		{given: `[{"feature": "a", "importance": 1}, {"feature": "a", "importance": 1}]`, err: `column "a" is there twice`},
		{given: `["price"]`, err: `want a list of {"feature": NAME, "importance": NUMBER}`},
		{given: fmt.Sprintf(many, numbers...), err: "10001 columns are more than the limit of 10000"},
	} {
		got, err := anneal.ParseImportance([]byte(test.given))
		if test.err == "" && (err != nil || fmt.Sprint(got) != test.want) || test.err != "" && (err == nil || !strings.HasPrefix(err.Error(), test.err)) {
			t.Errorf("%.80s: %v, %v; want %s%s", test.given, got, err, test.want, test.err)
		}
	}
}

func FuzzParseImportance(f *testing.F) {
	f.Add([]byte(`{"price": 0.6}`))
	f.Add([]byte(`[{"feature": "price", "importance": 0.6}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := anneal.ParseImportance(data)
		if err != nil && got != nil {
			t.Errorf("both %v and %v", got, err)
		}
		for name, v := range got {
			if !(v >= 0) || math.IsInf(v, 0) {
				t.Errorf("%q has %v", name, v)
			}
		}
	})
}
