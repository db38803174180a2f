package anneal_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

const module = "github.com/anneal-ml/anneal"

// The import picture of CONTRIBUTING.md. A folder imports itself and what
// stands below it: never sideways, never up.
//
//	                    cmd/anneal                            wires
//	          ┌──────────────┼──────────────┐
//	       configs      controller         web                 describe, move, show
//	          └──────┬───────┴───────┬──────┘
//	triggers   drift   policy   orchestrator   registry   notify     make; strangers to each other
//	└────────────────────────┬───────────────────────────┘
//	               journal      objects                        remembers, fetches
//	                         │
//	                       cloud                              reaches AWS
//	                         │
//	                    root package                           names
var layers = [][]string{
	{"."},
	{"cloud"},
	{"journal", "objects"},
	{"triggers", "drift", "policy", "orchestrator", "registry", "notify"},
	{"configs", "controller", "web"},
	{"cmd"},
}

// withoutCode has the folders of the charter that hold no package, though
// tests may look after what is in them.
var withoutCode = []string{"deploy", "docs"}

// nameless are names that say nothing of what a folder is for: a helper lives
// where it is used.
var nameless = []string{"common", "helper", "helpers", "misc", "type", "types", "util", "utils"}

func TestLayout(t *testing.T) {
	root := os.DirFS(".")
	for _, problem := range layoutProblems(root) {
		t.Error(problem)
	}
	for _, folder := range slices.Concat(slices.Concat(layers...), withoutCode) {
		if info, err := fs.Stat(root, folder); err != nil || !info.IsDir() {
			t.Errorf("folder %s of the charter is missing", folder)
		}
	}
}

// TestLayoutProblems shows small trees to the check itself.
func TestLayoutProblems(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/layout.txt")
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{}
	var want []string
	for _, f := range archive.Files {
		if f.Name == "want" {
			want = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
			continue
		}
		tree[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	if diff := cmp.Diff(want, layoutProblems(tree)); diff != "" {
		t.Errorf("problems found in testdata/layout.txt (-want +got):\n%s", diff)
	}
}

// layoutProblems says where the Go files of tree break the picture, in the
// order of their paths.
func layoutProblems(tree fs.FS) []string {
	var problems []string
	report := func(where, format string, args ...any) {
		problems = append(problems, where+": "+fmt.Sprintf(format, args...))
	}
	// A package is its folder; true once a file has its comment.
	commented := map[string]bool{}

	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if entry.IsDir() {
			if name != "." && (base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
				return fs.SkipDir
			}
			if slices.Contains(nameless, base) {
				report(name, "a folder named %s says nothing of what it is for", base)
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}

		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		folder, test := path.Dir(name), strings.HasSuffix(name, "_test.go")
		from := layerOf(topFolder(folder))
		if from < 0 && !(test && slices.Contains(withoutCode, topFolder(folder))) {
			report(name, "folder %s is not in the picture", topFolder(folder))
		}
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value) // a parsed literal
			if problem := importProblem(folder, test, imported); problem != "" {
				report(name, "%s", problem)
			}
		}
		if !test {
			commented[folder] = commented[folder] || documented(file)
			if problem := nameProblem(folder, file.Name.Name); problem != "" {
				report(name, "%s", problem)
			}
		}
		return nil
	})
	if err != nil {
		report(".", "%v", err)
	}
	for folder, yes := range commented {
		if !yes {
			report(folder, "no file has the package comment")
		}
	}
	slices.Sort(problems)
	return problems
}

// importProblem says why a file of folder must not import the package, or
// nothing. A test may use any part but the commands.
func importProblem(folder string, test bool, imported string) string {
	from := topFolder(folder)
	inside, ours := strings.CutPrefix(imported, module)
	if !ours {
		standard := !strings.Contains(strings.SplitN(imported, "/", 2)[0], ".")
		if from == "." && !test && !standard {
			return fmt.Sprintf("the root package imports %s; it has the standard library only", imported)
		}
		return ""
	}
	to := topFolder(strings.TrimPrefix(inside, "/"))
	switch {
	case from == to:
		return ""
	case to == "cmd":
		return fmt.Sprintf("imports %s; nothing imports a command", imported)
	case test:
		return ""
	case layerOf(to) < 0:
		return fmt.Sprintf("imports %s; %s is not in the picture", imported, to)
	case layerOf(to) == layerOf(from):
		return fmt.Sprintf("imports %s sideways; what it needs of %s is handed in", imported, to)
	case layerOf(to) > layerOf(from):
		return fmt.Sprintf("imports %s, which stands above it", imported)
	}
	return ""
}

var plainWord = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

// nameProblem says why a package must not have its name, or nothing.
func nameProblem(folder, name string) string {
	want := path.Base(folder)
	if folder == "." {
		want = path.Base(module)
	}
	switch {
	case name == "main" && topFolder(folder) == "cmd":
		return ""
	case name != want:
		return fmt.Sprintf("package %s is in a folder named %s", name, want)
	case !plainWord.MatchString(name):
		return fmt.Sprintf("package %s is not one plain word", name)
	}
	return ""
}

// documented reports whether file has its package's comment, in the form
// that `go doc` expects.
func documented(file *ast.File) bool {
	doc := file.Doc.Text()
	if file.Name.Name == "main" {
		return doc != ""
	}
	return strings.HasPrefix(doc, "Package "+file.Name.Name+" ")
}

// topFolder is the first folder of a path in the module, "." for the root.
func topFolder(folder string) string {
	if folder == "" {
		return "."
	}
	return strings.SplitN(folder, "/", 2)[0]
}

// layerOf is how high a top folder stands in the picture, -1 if it is not there.
func layerOf(top string) int {
	return slices.IndexFunc(layers, func(row []string) bool { return slices.Contains(row, top) })
}
