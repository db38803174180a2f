package drift

import (
	"errors"
	"fmt"
	"testing"
)

func TestValidate(t *testing.T) {
	good := func(i int) string { return fmt.Sprintf("%d,%d", i%7, i%2) }
	tests := []struct {
		name   string
		rows   int
		cell   func(int) string
		rules  Rules
		reason string
	}{
		{"good", 100, good, Rules{Target: "y"}, ""},
		{"no target asked for", 100, good, Rules{}, ""},
		{"no rows", 0, good, Rules{Target: "y"}, "0 rows: want at least 1"},
		{"few rows", 10, good, Rules{MinRows: 50}, "10 rows: want at least 50"},
		{"no target", 100, good, Rules{Target: "z"}, `the target column "z" is not there`},
		{"no column", 100, good, Rules{Columns: []string{"x", "z"}}, `there is no column "z"`},
		{"empty target", 100, always("1,"), Rules{Target: "y"}, `the target column "y" has no values`},
		{"constant target", 100, always("1,0"), Rules{Target: "y"}, `the target column "y" has the same value in every row`},
		{"constant category", 100, always("1,no"), Rules{Target: "y"}, `the target column "y" has the same value in every row`},
		{"target often missing", 100, every(2, "1,", every(3, "1,", good)), Rules{Target: "y"}, `the target column "y" lacks 67.0 % of its values: at most 50.0 % may be missing`},
		{"ragged", 100, every(10, "1,2,3", good), Rules{}, "10 of 100 rows have not as many fields as the header: at most 5.0 % may"},
		{"all ragged", 100, always("1,2,3"), Rules{}, "0 rows: want at least 1"},
		{"mostly missing", 100, every(4, "1,1", always("NA,")), Rules{}, "75.0 % of all values are missing or of a wrong type: at most 50.0 % may"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := Validate(table(t, "x,y", tt.rows, tt.cell), tt.rules)
			if v.Reason != tt.reason || v.Valid != (tt.reason == "") {
				t.Errorf("valid %v: %q, want %q", v.Valid, v.Reason, tt.reason)
			}
		})
	}
	if v := Invalid(errors.New("x.csv is empty")); v.Valid || v.Reason != "x.csv is empty" {
		t.Errorf("of an error: %+v", v)
	}
}
