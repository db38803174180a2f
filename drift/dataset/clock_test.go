package dataset

import (
	"testing"
)

func TestClock(t *testing.T) {
	for cell, want := range map[string]string{
		"2011-07-01":                "2011-07-01 00:00",
		"2011/07/01 23:59":          "2011-07-01 23:59",
		"2011-07-01T05:06:07.8Z":    "2011-07-01 05:06",
		"2011-07-01 05:06:07+02:00": "2011-07-01 05:06",
		"1/7/2011":                  "", // of January or of July
		"1.7.2011":                  "",
		"2011-13-01":                "",
		"2011-07/01":                "",
		"2011-07-01 24:00":          "",
		"2011-07-01 2":              "",
		"20110701":                  "",
		"2011-7-01 ":                "",
		"":                          "",
		"0000-01-01":                "",
	} {
		got := ""
		if at, ok := Clock([]byte(cell)); ok {
			got = at.Format("2006-01-02 15:04")
		}
		if got != want {
			t.Errorf("%q is read as %q, want %q", cell, got, want)
		}
	}
}

// FuzzClock holds that what is read is written as the cell is, but for days that a
// month may not have.
func FuzzClock(f *testing.F) {
	for _, s := range []string{"2011-07-01", "2011/07/01 23:59", "2011-07-01T05:06:07Z", "2011-02-31"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, cell []byte) {
		at, ok := Clock(cell)
		if !ok || string(cell[8:10]) > "28" {
			return
		}
		sep := string(cell[4])
		if got := at.Format("2006" + sep + "01" + sep + "02"); got != string(cell[:10]) {
			t.Errorf("%q is read as %s", cell, got)
		}
	})
}
