package main

import "testing"

func TestPrintable(t *testing.T) {
	for given, want := range map[string]string{
		"plain, Größe 模型":       "plain, Größe 模型",
		"\x1b[2J\x07gone":       " [2J gone",
		"a\tb\r\nc":             "a b  c",
		"\u009b2Jgone":          " 2Jgone",
		"report\u202egnp.csv":   "report gnp.csv",
		"\u2066isolated\u2069!": " isolated !",
	} {
		if got := printable(given); got != want {
			t.Errorf("printable(%q) = %q, want %q", given, got, want)
		}
	}
}
